import type { Name } from '@peerage/protocol'
import { limits } from '@peerage/protocol'
import type { Peer } from '../../peer.js'
import { encodeServerFrame, FRAME_HEADER_BYTES, idText } from './server-frames.js'
import type { FrameKind, ServerFrame } from './server-frames.js'
import type { InFlight } from './in-flight.js'
import type { Pacer } from './pacer.js'
import { Unheard } from './unheard.js'

/** What carries the frames of this peer through the server. */
export interface ServerRoute {
  peer: Peer
  pacer: Pacer
  inFlight: InFlight
}

/**
 * How long the server may take. The other peer's page may be reloading or its node may have died, and it then has half a
 * minute to come back.
 */
const SEND_MS = 60_000
/** As much is under way at once. The SDK itself has at most 256 KiB unacknowledged, so more would only wait. */
const IN_FLIGHT_BYTES = 384 * 1024
/** A handshake has two messages of each side. */
const PROOFS_MAX = 4
/** Sealed messages that arrive before the keys are made. */
const DATA_MAX = 16
/** Base64 has 4 characters for 3 bytes. */
const CHARS = 4
const BYTES = 3
/** The mark before base64, and the marks of up to four parts (SPEC.md of the protocol, WD17). */
const MARKS = 9
/** What `send` of a peer takes at most, in parts. */
const MESSAGE_BYTES_MAX = 147_447
/** Without room for this much, the server is of no use for files. */
const MESSAGE_BYTES_MIN = 1_024

/**
 * The largest payload of a frame within the relay policy. Undefined: the server carries no messages, or too small ones.
 * A long message goes in parts of `limits.bodyLength` characters, so a smaller bound of the policy forbids parts.
 */
export function payloadBytesMax(relay: { messageBytes: number } | null): number | undefined {
  if (relay === null) return undefined
  const whole =
    relay.messageBytes >= limits.bodyLength
      ? MESSAGE_BYTES_MAX
      : Math.floor((relay.messageBytes - 1) / CHARS) * BYTES
  return whole - FRAME_HEADER_BYTES < MESSAGE_BYTES_MIN ? undefined : whole - FRAME_HEADER_BYTES
}

/** What a frame counts for at the node, in bytes. */
const costOf = (frame: Uint8Array): number => Math.ceil(frame.length / BYTES) * CHARS + MARKS

/** One connection to another peer through the server. Frames arrive in order, or the link closes. */
export class ServerLink {
  readonly id: string
  readonly to: Name
  readonly #rawId: Uint8Array
  readonly #route: ServerRoute
  readonly #proofs = new Unheard<Uint8Array<ArrayBuffer>>()
  readonly #data = new Unheard<Uint8Array<ArrayBuffer>>()
  readonly #closing = new AbortController()
  #inFlight = 0
  #hasRoom: (() => void)[] = []
  #tail: Promise<unknown> = Promise.resolve()
  #closed: string | undefined
  #onClosed: ((reason: string) => void)[] = []

  constructor(route: ServerRoute, to: Name, rawId: Uint8Array) {
    this.#route = route
    this.to = to
    this.#rawId = rawId
    this.id = idText(rawId)
  }

  /** Why it is closed. Undefined while it is open. */
  get closed(): string | undefined {
    return this.#closed
  }

  /** Takes a frame that the other peer sent with this id. */
  take({ kind, payload }: ServerFrame): void {
    if (this.#closed !== undefined) return
    switch (kind) {
      case 'proof':
        if (this.#proofs.waiting >= PROOFS_MAX)
          return this.close('the other side sent too many handshake messages')
        return this.#proofs.push(payload)
      case 'data':
        if (this.#data.waiting >= DATA_MAX)
          return this.close('the other side sent too much before its handshake')
        return this.#data.push(payload)
      case 'gone':
        return this.close('the other side has no such connection')
    }
  }

  onProof(listener: (message: Uint8Array<ArrayBuffer>) => void): () => void {
    return this.#proofs.listen(listener)
  }

  onData(listener: (message: Uint8Array<ArrayBuffer>) => void): () => void {
    return this.#data.listen(listener)
  }

  /** Calls the listener once, also if the link is closed already. */
  onClosed(listener: (reason: string) => void): void {
    if (this.#closed === undefined) this.#onClosed.push(listener)
    else listener(this.#closed)
  }

  /**
   * Sends in the order of the calls. Resolves when there is room for more. `arrived` of the result resolves when the other
   * SDK has handed the frame over. Rejects when the link closes.
   */
  send(kind: FrameKind, payload: Uint8Array): Promise<void> {
    const sent = this.#tail.then(() => this.#sendNow(kind, payload))
    this.#tail = sent.catch(() => undefined)
    return sent
  }

  /** Resolves when everything has arrived that was sent so far, or when the link is closed. */
  async flushed(): Promise<void> {
    await this.#tail
    while (this.#inFlight > 0 && this.#closed === undefined) await this.#room()
  }

  /** Frames that have not arrived are given up. */
  close(reason: string): void {
    if (this.#closed !== undefined) return
    this.#closed = reason
    this.#closing.abort()
    this.#wake()
    for (const listener of this.#onClosed.splice(0)) listener(reason)
  }

  async #sendNow(kind: FrameKind, payload: Uint8Array): Promise<void> {
    const frame = encodeServerFrame(this.#rawId, kind, payload)
    const { pacer, inFlight } = this.#route
    if (this.#closed === undefined) await pacer.turn(costOf(frame))
    this.#checkOpen()
    await inFlight.take(frame.length)
    if (this.#closed !== undefined) inFlight.give(frame.length)
    this.#checkOpen()
    this.#inFlight += frame.length
    const options = { via: 'server', deadlineMs: SEND_MS, signal: this.#closing.signal } as const
    void this.#route.peer
      .send(this.to, frame, options)
      .catch((error: unknown) => this.close(error instanceof Error ? error.message : String(error)))
      .finally(() => this.#arrived(frame))
    while (this.#inFlight > IN_FLIGHT_BYTES && this.#closed === undefined) await this.#room()
    this.#checkOpen()
  }

  /** The other SDK has handed it over, or the link is closed. */
  #arrived(frame: Uint8Array): void {
    this.#inFlight -= frame.length
    this.#route.inFlight.give(frame.length)
    this.#wake()
  }

  #room(): Promise<void> {
    return new Promise((resolve) => this.#hasRoom.push(resolve))
  }

  #wake(): void {
    for (const resolve of this.#hasRoom.splice(0)) resolve()
  }

  #checkOpen(): void {
    if (this.#closed !== undefined)
      throw new Error(`the connection through the server is closed: ${this.#closed}`)
  }
}
