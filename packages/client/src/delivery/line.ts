import type { ErrorCode, Kind, Name, NodeMessageOf, PeerMessageOf, PresenceState } from '@peerage/protocol'
import { onAbort } from '../lib/abort.js'
import type { Timer } from '../lib/clock.js'
import type { Carrier, Outgoing, OutboxOptions, SendResult } from './signaling.js'
import { WINDOW, isUnread, readUnread } from './unread.js'

/** Resend what is unacknowledged after this, doubling to the second, with a quarter of jitter [WD10]. */
const RESEND_FIRST_MS = 2_000
const RESEND_MOST_MS = 8_000
/** After giving a message up, the recipient is told (by `base`) this soon, so that later ones need not wait. */
const SKIP_MS = 50
/** News of one recipient wakes at most this often: a tier that says online and away in turn must not be flooded. */
const WAKE_MS = 1_000
/** Unacknowledged characters on their way to one recipient: below what a node buffers for a slow consumer. */
const WINDOW_CHARS = 256 * 1024

/** The channels that are open, by the name at their other end. */
export type Channels = ReadonlyMap<Name, { since: number; carrier: Carrier }>

/** A message that is not settled yet. */
interface Held extends Pick<Outgoing, 'body' | 'handshake' | 'via'> {
  seq: number
  /** To be transmitted, for the first time or again. */
  due: boolean
  tries: number
  /** How many of these a node kept back for its limits. */
  limited: number
  /** Whether a channel ever carried it: then only the recipient knows what became of it. */
  channeled: boolean
  end: (result: SendResult) => void
}

/** How a notice ends a message; any other: it is kept, and tried again. */
export const verdicts: Partial<Record<ErrorCode, SendResult>> = {
  unavailable: 'unavailable',
  // Not to be told from an absent name.
  forbidden: 'unavailable',
  incompatible: 'incompatible',
  'relay-refused': 'relay-refused',
  'too-large': 'too-large',
}

/** Everything on its way to one recipient, of one kind: signals never wait behind messages. */
export class Line {
  readonly to: Name
  readonly kind: Kind
  /** Another one for each stay. */
  stream: string
  /** By seq. A new list whenever one is settled: whoever walks the old one may settle as it goes. */
  held: Held[] = []
  readonly #options: OutboxOptions
  readonly #channels: Channels
  /**
   * The stay that the stream is bound to [WD2]; absent: to be looked up. `away`: only the first message probes, presence
   * or its acknowledgement wakes the rest.
   */
  #stay: { since: number; away: boolean } | undefined
  /** The stay that is known to be over. */
  #gone: number | undefined
  #looking = false
  /** The highest seq given out, and the highest ever transmitted. */
  #last = 0
  #sent = 0
  #resendMs = RESEND_FIRST_MS
  /** When news of the recipient last set off a resend. */
  #wokenAt = -Infinity
  #resend: Timer | undefined
  /** Runs while the recipient is to hear of a new base. */
  #skip: Timer | undefined

  constructor(to: Name, kind: Kind, options: OutboxOptions, channels: Channels) {
    this.to = to
    this.kind = kind
    this.#options = options
    this.#channels = channels
    this.stream = options.streamId()
  }

  get isIdle(): boolean {
    return this.held.length === 0 && !this.#looking
  }

  /** One message more; `ended` hears once how it ended, perhaps at once. */
  add({ body, handshake, via, signal, deadlineMs }: Outgoing, ended: (result: SendResult) => void): void {
    const timer = this.#options.clock.after(deadlineMs, () => held.end(lateVerdictOf(held)))
    const ignore = onAbort(signal, () => held.end('aborted'))
    const held: Held = {
      seq: ++this.#last,
      body,
      handshake,
      via,
      due: true,
      tries: 0,
      limited: 0,
      channeled: false,
      end: (result) => {
        timer.cancel()
        ignore()
        this.#settle(held)
        ended(result)
      },
    }
    this.held.push(held)
    this.pump()
  }

  close(): void {
    this.#endAll('closed')
  }

  acked({ next, unread }: Pick<NodeMessageOf<'acked'>, 'next' | 'unread'>): void {
    // An acknowledgement of what was never transmitted is nobody's: ignored [WD12].
    if (next > this.#sent + 1) return
    const settled = this.held.filter(({ seq }) => seq < next)
    if (settled.length === 0) return
    const wasAway = this.#isAway
    this.#resendMs = RESEND_FIRST_MS
    this.#setAway(false)
    const bits = readUnread(unread)
    for (const held of settled) held.end(isUnread(bits, next, held.seq) ? 'incompatible' : 'delivered')
    this.wake(wasAway)
    const [head] = this.held
    // A message in between was given up: the recipient waits for it until it hears of the new base.
    if (head !== undefined && head.tries > 0 && head.seq > next) this.#skipSoon()
  }

  notice({ seq, code }: Pick<NodeMessageOf<'notice'>, 'seq' | 'code'>): void {
    const held = this.held.find((one) => one.seq === seq)
    if (held === undefined) return
    const verdict = verdicts[code]
    if (verdict === 'unavailable') this.#over(held)
    else if (verdict === 'incompatible') this.#endAll(verdict)
    else if (verdict !== undefined) held.end(verdict)
    else if (code === 'away') this.#setAway(true)
    else if (code === 'rate-limited') held.limited++
  }

  presence(state: PresenceState): void {
    const now = this.#options.clock.now()
    if (!this.#isAway || state === 'away' || Math.abs(now - this.#wokenAt) < WAKE_MS) return
    this.#wokenAt = now
    // Of one that is gone, the fresh look-up of the next probe decides, not the notification.
    this.#setAway(state === 'offline')
    this.restart()
  }

  /** A channel to this stay is open. */
  attached(since: number): void {
    const wasAway = this.#isAway
    if (this.#stay?.since === since) this.#setAway(false)
    this.wake(wasAway)
  }

  /** Everything goes out again, and the waits begin anew. */
  restart(): void {
    this.#resendMs = RESEND_FIRST_MS
    this.wake(true)
  }

  /** Transmits what is due; `again`: also what was transmitted already. */
  wake(again: boolean): void {
    if (again) for (const held of this.held) held.due = true
    this.#arm()
    this.pump()
  }

  get #isAway(): boolean {
    return this.#stay?.away ?? false
  }

  #setAway(away: boolean): void {
    if (this.#stay === undefined || this.#stay.away === away) return
    this.#stay.away = away
    if (away) this.#options.watch(this.to)
    else this.#options.unwatch(this.to)
  }

  #endAll(result: SendResult): void {
    for (const held of this.held) held.end(result)
  }

  #settle(held: Held): void {
    this.held = this.held.filter((one) => one !== held)
    const [head] = this.held
    if (head === undefined) {
      this.#resend?.cancel()
      this.#skip?.cancel()
      this.#resend = this.#skip = undefined
      this.#setAway(false)
    } else if (held.tries > 0 && held.seq < head.seq) this.#skipSoon()
  }

  /** The first that is left goes out again, with the new base. The others do not: each that ends would resend them all. */
  #skipSoon(): void {
    this.#skip ??= this.#options.clock.after(SKIP_MS, () => {
      this.#skip = undefined
      const [head] = this.held
      if (head !== undefined) head.due = true
      this.pump()
    })
  }

  #arm(): void {
    this.#resend?.cancel()
    this.#resend = undefined
    if (this.held.length === 0) return
    const { clock, random } = this.#options
    this.#resend = clock.after(this.#resendMs * (0.75 + random() / 2), () => {
      this.#resendMs = Math.min(RESEND_MOST_MS, this.#resendMs * 2)
      this.wake(true)
    })
  }

  /** Transmits what is due, as far as there is room. */
  pump(): void {
    if (this.held.length === 0) return
    if (this.#resend === undefined) this.#arm()
    const channel = this.#channels.get(this.to)
    // A channel may outlive its peer's hold on the name.
    if (channel && channel.since !== this.#gone) this.#stay ??= { since: channel.since, away: false }
    if (this.#stay === undefined) return void this.#bind()
    const { since, away } = this.#stay
    const base = this.held[0]?.seq ?? 0
    let chars = 0
    for (const held of this.held) {
      const outside = held.seq >= base + WINDOW || chars > WINDOW_CHARS
      if (outside || (away && chars > 0)) return
      chars += held.body.length + 1
      if (held.due && !this.#transmit(held, since)) return
    }
  }

  /** False: nothing more goes out now. */
  #transmit(held: Held, since: number): boolean {
    const { to, kind, stream } = this
    const { seq, body, handshake } = held
    const base = this.held[0]?.seq ?? seq
    const frame: PeerMessageOf<'send'> = { type: 'send', to, since, stream, seq, base, kind, body }
    if (handshake !== undefined) frame.handshake = handshake
    // A resend looks up afresh, past every cache and even past a local session.
    if (held.tries > 0) frame.fresh = true
    const channel = held.via === 'server' ? undefined : this.#channels.get(to)
    let sent = channel?.since === since ? channel.carrier.send(frame) : false
    const channeled = sent === true
    if (sent === false && held.via === 'p2p-only') {
      held.end('unavailable')
      return true
    }
    if (sent === false) sent = this.#options.server.send(frame)
    if (sent !== true) return false
    held.due = false
    held.tries++
    held.channeled ||= channeled
    this.#sent = Math.max(this.#sent, seq)
    return true
  }

  async #bind(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    const found = await this.#options.lookup(this.to)
    this.#looking = false
    if (found === undefined || this.#stay !== undefined) return
    const gone = this.#gone
    this.#gone = undefined
    const { state, since } = found
    if (state === 'offline' || since === undefined || since === gone) return this.#endAll('unavailable')
    this.#stay = { since, away: false }
    this.#setAway(state === 'away' && this.held.length > 0)
    this.pump()
  }

  /**
   * The stay that the line is bound to is over. What may have reached it is unavailable: it must never go to
   * a stranger [WD2]. `refused` and what was transmitted after it, once and only to the server, reached nobody,
   * for a node takes the frames of a connection in order: it goes, with what was never transmitted, to whoever holds the name now [WD3].
   */
  #over(refused: Held): void {
    for (const held of this.held) {
      const reachedNobody = held.tries === 1 && !held.channeled && held.seq >= refused.seq
      if (held.tries > 0 && !reachedNobody) held.end('unavailable')
    }
    this.#setAway(false)
    this.#gone = this.#stay?.since
    this.#stay = undefined
    this.stream = this.#options.streamId()
    this.#last = this.#sent = 0
    for (const held of this.held) Object.assign(held, { seq: ++this.#last, due: true, tries: 0, limited: 0 })
    this.wake(false)
  }
}

/** How the deadline ends a message. Each try kept back: then it reached nobody, and the reason is known. */
function lateVerdictOf({ tries, limited, channeled }: Held): SendResult {
  return limited > 0 && limited >= tries && !channeled ? 'rate-limited' : 'timeout'
}
