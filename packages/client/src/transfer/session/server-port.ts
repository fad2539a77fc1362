import type { Name } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import type { Clock } from '../../lib/clock.js'
import { Rates } from '../../lib/rates.js'
import type { Peer } from '../../peer.js'
import { InFlight } from './in-flight.js'
import { Pacer } from './pacer.js'
import { decodeServerFrame, encodeServerFrame, newLinkId } from './server-frames.js'
import { ServerLink, payloadBytesMax } from './server-link.js'

/** How often we tell one peer, and all peers, that we know no such connection. */
const GONE_OF_ONE = { burst: 4, perSecond: 1 }
const GONE_OF_ALL = { burst: 16, perSecond: 8 }
const FLUSH_MS = 2_000
const EMPTY = new Uint8Array(0)
/** The share of bytes that base64 leaves. */
const BASE64_SHARE = 3 / 4

/** All connections of one peer through the server: those that it makes, and those that guests make to it. */
export class ServerPort {
  readonly peer: Peer
  readonly #clock: Clock
  readonly #pacer: Pacer
  readonly #inFlight = new InFlight()
  readonly #links = new Map<string, ServerLink>()
  readonly #gone: Rates
  readonly #arrived: (from: Name, open: () => ServerLink) => boolean
  readonly #stop: () => void

  /** `arrived`: a peer begins a handshake. It returns false, and opens no link, if the peer is not wanted. */
  constructor(peer: Peer, clock: Clock, arrived: (from: Name, open: () => ServerLink) => boolean) {
    this.peer = peer
    this.#clock = clock
    this.#arrived = arrived
    this.#pacer = new Pacer(clock, () => peer.relay?.bytesPerSecond ?? 0)
    this.#gone = new Rates(clock, GONE_OF_ONE, GONE_OF_ALL)
    this.#stop = peer.on('message', (from, data) => this.#take(from, data))
  }

  /** The largest payload of a frame. Undefined: the server carries no files. */
  get payloadBytesMax(): number | undefined {
    return payloadBytesMax(this.peer.relay)
  }

  /** How many bytes of files a second the server carries. */
  get bytesPerSecond(): number | undefined {
    if (this.payloadBytesMax === undefined) return undefined
    const { bytesPerSecond = 0 } = this.peer.relay ?? {}
    return bytesPerSecond === 0 ? Infinity : Math.floor(bytesPerSecond * BASE64_SHARE)
  }

  /** Begins a connection to another peer. */
  open(to: Name): ServerLink {
    return this.#open(to, newLinkId())
  }

  /** Takes nothing more. What was sent has two seconds to arrive. */
  close(reason: string): void {
    this.#stop()
    for (const link of this.#links.values()) {
      const timer = this.#clock.after(FLUSH_MS, () => link.close(reason))
      link.onClosed(() => timer.cancel())
      void link.flushed().then(() => link.close(reason))
    }
  }

  #open(to: Name, rawId: Uint8Array): ServerLink {
    const link = new ServerLink({ peer: this.peer, pacer: this.#pacer, inFlight: this.#inFlight }, to, rawId)
    const key = keyOf(to, link.id)
    this.#links.set(key, link)
    link.onClosed(() => this.#links.delete(key))
    return link
  }

  #take(sender: string, data: unknown): void {
    const frame = decodeServerFrame(data)
    if (frame === undefined) return
    const link = this.#links.get(keyOf(sender, frame.id))
    if (link !== undefined) return link.take(frame)
    const from = parseName(sender)
    if (frame.kind === 'gone' || !from.ok) return
    const open = (): ServerLink => this.#open(from.value, frame.rawId)
    if (frame.kind === 'proof' && this.#arrived(from.value, open))
      return this.#links.get(keyOf(sender, frame.id))?.take(frame)
    if (!this.#gone.take(sender)) return
    // If it does not arrive, the other side waits for its deadline.
    const gone = encodeServerFrame(frame.rawId, 'gone', EMPTY)
    this.peer.send(sender, gone, { via: 'server' }).catch(() => undefined)
  }
}

const keyOf = (name: string, id: string): string => `${id} ${name}`
