import type { ServerMessage } from '@peerage/core'
import type { CloseReason, Peer } from '@peerage/protocol'
import { appOf, errorTexts, nameOf, parseName, peerOf } from '@peerage/protocol'
import type { ConnectionHost } from '../shared/connection.js'
import { WebSocketConnection } from '../shared/connection.js'
import type { Drops } from './drops.js'
import type { Arrival } from '../shared/gateway.js'
import { encodeExpire } from './wire.js'

/** What PeerJS connections need of their gateway. */
export interface PeerJsHost extends ConnectionHost {
  readonly drops: Drops
  readonly frameBytes: number
  readonly frames: {
    /** A whole frame, text or binary: PeerJS reads JSON in both. */
    receive(connection: PeerJsConnection, text: string): void
  }
}

/** What waits while the name is being claimed: frames of the peer, and frames for it. */
interface Opening {
  inbound: string[]
  inboundLength: number
  outbound: string[]
  outboundLength: number
}

/** Our word for a message whose sender is told by EXPIRE; of LEAVE and EXPIRE nobody is told [PJ8]. */
export const WANTS_EXPIRE = 'x'

/** The client of PeerJS sends before it has read OPEN; an offer with its candidates is some 30 frames. */
const INBOUND_FRAMES_MOST = 64
const INBOUND_LENGTH_MOST = 256 * 1024
/** Live messages that arrive while the mailbox is being emptied. */
const OUTBOUND_FRAMES_MOST = 1_024
/** As often as `peer` looks for queues that are over: so many EXPIREs for one pair are one [PJ9]. */
const EXPIRE_ONCE_MS = 1_000
const EXPIRED_MOST = 256
const EXPIRED_KEY_MOST = 1_024

/** One PeerJS peer's connection. */
export class PeerJsConnection extends WebSocketConnection<PeerJsHost> {
  /** It counts against the concurrent limit. */
  hasPlace = false
  #opening: Opening | undefined = { inbound: [], inboundLength: 0, outbound: [], outboundLength: 0 }
  #expired: Map<string, number> | undefined
  /** Its name as JSON text, from its first frame on. */
  #src: string | undefined
  /** Where it sent last: most of what a peer sends goes to one other. */
  #last: { dst: string; to: Peer } | undefined

  constructor({ id, socket, stream, address }: Arrival, host: PeerJsHost) {
    super(id, socket, stream, address, host)
  }

  get wire(): 'peerjs' {
    return 'peerjs'
  }

  /** Nobody asks: PeerJS has no word for changes. */
  override get isBehind(): boolean {
    return false
  }

  protected take(text: string): void {
    this.host.frames.receive(this, text)
  }

  send(message: ServerMessage): boolean {
    switch (message.type) {
      case 'relay':
        return this.#opening === undefined
          ? this.relay(message.message.frame)
          : this.#deliver(message.message.frame)
      case 'notice':
        if (message.ref !== WANTS_EXPIRE) return true
        // Nobody has the name: the word is EXPIRE. For the rest PeerJS has no word, and the reason is beside it.
        this.expire(
          JSON.stringify(message.to),
          message.code === 'unavailable' ? undefined : errorTexts[message.code],
        )
        return true
      // PeerJS has no word for these, and nobody asks for them on its behalf.
      case 'presence':
      case 'said':
      case 'changed':
        return true
    }
  }

  /** The name of a peer, its own, as JSON text: what the frames it sends say of it. */
  srcOf(peer: Peer): string {
    this.#src ??= JSON.stringify(nameOf(peer))
    return this.#src
  }

  /** Whom `peer`, its own, means by `to`; `dst` is its text. Undefined: no peer can ever have such a name. */
  recipientOf(peer: Peer, { dst, to }: { dst: string; to: unknown }): Peer | undefined {
    if (this.#last?.dst === dst) return this.#last.to
    const name = parseName(to)
    if (!name.ok) return undefined
    const recipient = peerOf(appOf(peer), name.value)
    this.#last = { dst: copyOf(dst), to: recipient }
    return recipient
  }

  /** Tells the peer that what it sent to `to`, JSON text, was not delivered; once for a burst [PJ9]. */
  expire(to: string, why?: string): void {
    if (this.peer === undefined) return
    const now = this.host.clock.monotonic()
    // No name is longer: what begins alike is one burst, and the keys stay small.
    const key = to.length > EXPIRED_KEY_MOST ? copyOf(to.slice(0, EXPIRED_KEY_MOST)) : to
    this.#expired ??= new Map()
    if (now - (this.#expired.get(key) ?? Number.NEGATIVE_INFINITY) < EXPIRE_ONCE_MS) return
    if (this.#expired.size >= EXPIRED_MOST) this.#expired.clear()
    this.#expired.set(key, now)
    this.#deliver(encodeExpire(to, nameOf(this.peer), why))
  }

  /** Keeps a frame of the peer until its name is claimed. False: over the bound. */
  keep(text: string): boolean {
    const opening = this.#opening
    if (opening === undefined) return false
    opening.inboundLength += Buffer.byteLength(text)
    if (opening.inbound.length >= INBOUND_FRAMES_MOST || opening.inboundLength > INBOUND_LENGTH_MOST)
      return false
    opening.inbound.push(text)
    return true
  }

  /** The frames that came before the name was claimed, in order. */
  takeKept(): string[] {
    const kept = this.#opening?.inbound ?? []
    if (this.#opening) this.#opening.inbound = []
    return kept
  }

  /** The peer is through: first what waited for it in its mailbox, then what arrived meanwhile [PJ7]. */
  opened(waiting: readonly string[]): void {
    const live = this.#opening?.outbound ?? []
    this.#opening = undefined
    for (const frame of waiting) this.writeKept(frame)
    for (const frame of live) this.writeKept(frame)
  }

  override ping(): void {
    // What was told an interval ago may be told again; an idle peer keeps nothing.
    this.#expired = undefined
    super.ping()
  }

  /** Closes that `peer` knows carry no code [PJ3]; the others say why. */
  protected override sayClosing(reason: CloseReason): number | undefined {
    return reason === 'refused' ? undefined : super.sayClosing(reason)
  }

  override failed(error: Error): void {
    super.failed(error)
    const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
    const { drops, frameBytes } = this.host
    drops.dropped('fault', {
      code,
      text: error.message,
      name: this.peer && nameOf(this.peer),
      frameBytes,
    })
  }

  override ended(code: number): void {
    super.ended(code)
    this.#opening = undefined
  }

  #deliver(frame: string): boolean {
    const opening = this.#opening
    if (opening === undefined) return this.write(frame)
    const length = opening.outboundLength + Buffer.byteLength(frame)
    if (opening.outbound.length >= OUTBOUND_FRAMES_MOST || length > this.host.bufferedBytes / 2) return false
    opening.outboundLength = length
    opening.outbound.push(frame)
    return true
  }
}

/** A part of a frame that is kept would hold the whole frame. */
function copyOf(part: string): string {
  return Buffer.from(part).toString()
}
