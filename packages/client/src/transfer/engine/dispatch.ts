import type { Message } from '../types.js'
import type { Control, OtherMessage } from './codec.js'
import { decodeControl } from './codec.js'
import type { Incoming } from './incoming.js'
import type { Outgoing } from './outgoing.js'
import { decodeBinary } from './parts.js'
import type { Texts } from './texts.js'
import { releaseBytes } from '../release.js'

/** Who takes the messages of the other side. */
export interface Takers {
  incoming: Incoming
  outgoing: Outgoing
  texts: Texts
  /** The other side begins on this conduit. */
  begun: (run: string) => void
  /** The other side has accepted at least one file. */
  accepted: () => void
  /** A message that is not the engine's. */
  other: (message: OtherMessage) => void
}

/** Hands a message to whom it concerns. Returns what is wrong with it, if it cannot be read. */
export function dispatch(message: Message, takers: Takers): string | undefined {
  const decoded = typeof message === 'string' ? decodeControl(message) : decodeBinary(message)
  switch (decoded.kind) {
    case 'malformed':
      return decoded.what
    case 'part':
      takers.incoming.part(decoded)
      // What was wanted of it was copied. A message with a part is never text.
      if (typeof message !== 'string') releaseBytes(message)
      break
    case 'block-end':
      takers.incoming.blockEnd(decoded)
      break
    case 'other':
      takers.other(decoded.message)
      break
    case 'control':
      takeControl(decoded.message, takers)
      break
  }
  return undefined
}

function takeControl(message: Control, { incoming, outgoing, texts, begun, accepted }: Takers): void {
  switch (message.type) {
    case 'begin':
      return begun(message.run)
    case 'offer':
      return incoming.offer(message.files)
    case 'accept':
      if (outgoing.accepted(message.files)) accepted()
      return
    case 'reject':
      return outgoing.rejected(message.files)
    case 'done':
      return outgoing.done(message.files)
    case 'need':
      return outgoing.needed(message)
    case 'kept':
      return outgoing.kept(message)
    case 'grant':
      return outgoing.granted(message.bytes)
    case 'root':
      return incoming.root(message)
    case 'hashing':
      return incoming.hashing(message)
    case 'end':
      return message.of === 'mine' ? incoming.ended(message) : outgoing.ended(message)
    case 'pause':
      if (message.of === 'yours') return outgoing.paused(message.files, message.on)
      return incoming.paused(message.files, message.on, message.isMissing)
    case 'text':
      return texts.piece(message)
    case 'got':
      return texts.got(message)
  }
}
