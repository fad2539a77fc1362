import type { ServerMessage } from '@peerage/core'
import type { CloseReason, Peer } from '@peerage/protocol'
import { appOf, errorTexts, nameOf, parseName, peerOf } from '@peerage/protocol'
import type { CloseOptions, ConnectionHost } from '../shared/connection.js'
import { WebSocketConnection } from '../shared/connection.js'
import type { Drops } from '../shared/drops.js'
import type { Arrival } from '../shared/gateway.js'
import { encodeExpire } from './wire.js'

/** What PeerJS connections need of their gateway. */
export interface PeerJsHost extends ConnectionHost {
  readonly drops: Drops
  readonly frameBytes: number
  readonly frames: {
    /** Handles a whole frame, text or binary, because PeerJS reads JSON in both. */
    receive(connection: PeerJsConnection, text: string): void
  }
}

/** The frames that wait while the name is being claimed: inbound from the peer, and outbound to it. */
interface Opening {
  inbound: string[]
  inboundLength: number
  outbound: string[]
  outboundLength: number
}

/** The `ref` of a message whose sender gets an EXPIRE if it fails. A failed LEAVE or EXPIRE is not reported [PJ8]. */
export const WANTS_EXPIRE = 'x'

/** PeerJS sends before it has read OPEN. An offer with its candidates is about 30 frames. */
const MAX_INBOUND_FRAMES = 64
const MAX_INBOUND_LENGTH = 256 * 1024
/** How many live messages may wait while the mailbox is being emptied. */
const MAX_OUTBOUND_FRAMES = 1_024
/** EXPIREs for one pair within this time are sent once [PJ9]. `peer` checks its queues as often. */
const EXPIRE_ONCE_MS = 1_000
const MAX_EXPIRED = 256
const MAX_EXPIRED_KEY = 1_024

/** The connection of one PeerJS peer. */
export class PeerJsConnection extends WebSocketConnection<PeerJsHost> {
  /** Whether the connection counts against the concurrent limit. */
  hasSlot = false
  #opening: Opening | undefined = { inbound: [], inboundLength: 0, outbound: [], outboundLength: 0 }
  #expired: Map<string, number> | undefined
  /** The peer's name as JSON text. Made with its first frame. */
  #src: string | undefined
  /** The last recipient, cached because most messages of a peer go to one other peer. */
  #last: { dst: string; to: Peer } | undefined

  constructor({ id, socket, stream, address }: Arrival, host: PeerJsHost) {
    super(id, socket, stream, address, host)
  }

  get wire(): 'peerjs' {
    return 'peerjs'
  }

  /** Never used on this wire: PeerJS has no message for changes of presence or rooms. */
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
        // PeerJS knows EXPIRE only for an absent peer. For every other failure EXPIRE carries the reason as well.
        this.expire(
          JSON.stringify(message.to),
          message.code === 'unavailable' ? undefined : errorTexts[message.code],
        )
        return true
      // PeerJS has no such messages, and a PeerJS peer can neither watch names nor join rooms.
      case 'presence':
      case 'said':
      case 'changed':
      case 'published':
      case 'handed':
        return true
    }
  }

  /** The `src` of the frames that this peer sends: its name as JSON text. `peer` is the peer itself. */
  srcOf(peer: Peer): string {
    this.#src ??= JSON.stringify(nameOf(peer))
    return this.#src
  }

  /** The peer that `to` names. `peer` is the sender, and `dst` is the text of `to`. Undefined if `to` can be no name. */
  recipientOf(peer: Peer, { dst, to }: { dst: string; to: unknown }): Peer | undefined {
    if (this.#last?.dst === dst) return this.#last.to
    const name = parseName(to)
    if (!name.ok) return undefined
    const recipient = peerOf(appOf(peer), name.value)
    this.#last = { dst: copyOf(dst), to: recipient }
    return recipient
  }

  /** Tells the peer that its message to `to` (JSON text) was not delivered. Sent once for a burst [PJ9]. */
  expire(to: string, why?: string): void {
    if (this.peer === undefined) return
    const now = this.host.clock.monotonic()
    // No valid name is longer. Longer texts with the same beginning count as one burst, so the keys stay small.
    const key = to.length > MAX_EXPIRED_KEY ? copyOf(to.slice(0, MAX_EXPIRED_KEY)) : to
    this.#expired ??= new Map()
    if (now - (this.#expired.get(key) ?? Number.NEGATIVE_INFINITY) < EXPIRE_ONCE_MS) return
    if (this.#expired.size >= MAX_EXPIRED) this.#expired.clear()
    this.#expired.set(key, now)
    this.#deliver(encodeExpire(to, nameOf(this.peer), why))
  }

  /** Keeps a frame of the peer until its name is claimed. False: too many frames are kept already. */
  keep(text: string): boolean {
    const opening = this.#opening
    if (opening === undefined) return false
    opening.inboundLength += Buffer.byteLength(text)
    if (opening.inbound.length >= MAX_INBOUND_FRAMES || opening.inboundLength > MAX_INBOUND_LENGTH)
      return false
    opening.inbound.push(text)
    return true
  }

  /** Takes the frames that came before the name was claimed, in order. */
  takeKept(): string[] {
    const kept = this.#opening?.inbound ?? []
    if (this.#opening) this.#opening.inbound = []
    return kept
  }

  /** Ends the opening: writes the messages from the mailbox, then those that arrived meanwhile [PJ7]. */
  opened(waiting: readonly string[]): void {
    const live = this.#opening?.outbound ?? []
    this.#opening = undefined
    for (const frame of waiting) this.writeKept(frame)
    for (const frame of live) this.writeKept(frame)
  }

  override ping(): void {
    // After a ping interval an EXPIRE may be repeated. Dropping the map means that an idle peer keeps nothing.
    this.#expired = undefined
    super.ping()
  }

  /** A refusal that `peer` has too closes without a code [PJ3]. Every other close has one. */
  protected override announceClose(reason: CloseReason, options: CloseOptions): number | undefined {
    return reason === 'refused' && this.peer === undefined ? undefined : super.announceClose(reason, options)
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
    if (opening.outbound.length >= MAX_OUTBOUND_FRAMES || length > this.host.bufferedBytes / 2) return false
    opening.outboundLength = length
    opening.outbound.push(frame)
    return true
  }
}

/** Copies a slice of a frame, because V8 would keep the whole frame in memory. */
function copyOf(slice: string): string {
  return Buffer.from(slice).toString()
}
