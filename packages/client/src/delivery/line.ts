import type { ErrorCode, Kind, Name, NodeMessageOf, PeerMessageOf, PresenceState } from '@peerage/protocol'
import { onAbort } from '../lib/abort.js'
import type { Timer } from '../lib/clock.js'
import type { Carrier, Outgoing, OutboxOptions, SendResult } from './signaling.js'
import { WINDOW, isUnread, parseUnread } from './unread.js'

/**
 * Resend unacknowledged messages after this wait, which doubles up to the second value, with a quarter of jitter
 * [WD10].
 */
const RESEND_FIRST_MS = 2_000
const RESEND_MOST_MS = 8_000
/**
 * How soon the recipient learns (from `base`) that a message was given up, so that later messages need not wait for it.
 */
const SKIP_MS = 50
/**
 * Presence changes of a recipient cause a resend at most this often, in case presence flips between online and away.
 */
const WAKE_MS = 1_000
/** Unacknowledged characters in flight to one recipient. Less than a node buffers for a slow consumer. */
const WINDOW_CHARS = 256 * 1024

/** The open channels, by the name of the other peer. */
export type Channels = ReadonlyMap<Name, { since: number; carrier: Carrier }>

/** An unsettled message. */
interface Held extends Pick<Outgoing, 'body' | 'handshake' | 'via'> {
  seq: number
  /** Whether it must be transmitted, for the first time or again. */
  due: boolean
  tries: number
  /** How many of its transmissions a node refused because of a rate limit. */
  limited: number
  /** Whether it was ever sent over a channel. If so, no node can tell whether it arrived. */
  channeled: boolean
  end: (result: SendResult) => void
}

/** How a message ends after a notice with this code. After any other code, the message is kept and sent again. */
export const noticeResults: Partial<Record<ErrorCode, SendResult>> = {
  unavailable: 'unavailable',
  forbidden: 'forbidden',
  incompatible: 'incompatible',
  'relay-refused': 'relay-refused',
  'too-large': 'too-large',
}

/**
 * All unsettled messages of one kind for one recipient. Each kind has its own line, so signals never wait for messages.
 */
export class Line {
  readonly to: Name
  readonly kind: Kind
  /** The stream's id. There is a new one for each holder of the name. */
  stream: string
  /** Ordered by seq. Settling a message replaces the list, so a loop over it may settle messages. */
  held: Held[] = []
  readonly #options: OutboxOptions
  readonly #channels: Channels
  /**
   * The holder of the name that the stream is bound to [WD2]. Undefined until it is looked up. While it is `away`, only
   * the first message is sent; its acknowledgement, or a presence change, releases the rest.
   */
  #holder: { since: number; away: boolean } | undefined
  /** The `since` of a former holder, which a lookup may still return for a moment. */
  #gone: number | undefined
  #looking = false
  /** The highest assigned seq, and the highest transmitted one. */
  #last = 0
  #sent = 0
  #resendMs = RESEND_FIRST_MS
  /** When a presence change of the recipient last caused a resend. */
  #wokenAt = -Infinity
  #resend: Timer | undefined
  /** Runs while the recipient still has to learn the new base. */
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

  /** Adds a message. `ended` is called once with how it ended, perhaps before this returns. */
  add({ body, handshake, via, signal, deadlineMs }: Outgoing, ended: (result: SendResult) => void): void {
    const timer = this.#options.clock.after(deadlineMs, () => held.end(lateResultOf(held)))
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
    // Ignore an acknowledgement of messages that were never transmitted [WD12].
    if (next > this.#sent + 1) return
    const settled = this.held.filter(({ seq }) => seq < next)
    if (settled.length === 0) return
    const wasAway = this.#isAway
    this.#resendMs = RESEND_FIRST_MS
    this.#setAway(false)
    const bits = parseUnread(unread)
    for (const held of settled) held.end(isUnread(bits, next, held.seq) ? 'incompatible' : 'delivered')
    this.wake(wasAway)
    const [head] = this.held
    // A message before these was given up. The recipient waits for it until it learns the new base.
    if (head !== undefined && head.tries > 0 && head.seq > next) this.#skipSoon()
  }

  notice({ seq, code }: Pick<NodeMessageOf<'notice'>, 'seq' | 'code'>): void {
    const held = this.held.find((one) => one.seq === seq)
    if (held === undefined) return
    const result = noticeResults[code]
    if (result === 'unavailable') this.#rebind(held)
    else if (result === 'incompatible') this.#endAll(result)
    else if (result !== undefined) held.end(result)
    else if (code === 'away') this.#setAway(true)
    else if (code === 'rate-limited') held.limited++
  }

  presence(state: PresenceState): void {
    const now = this.#options.clock.now()
    if (!this.#isAway || state === 'away' || Math.abs(now - this.#wokenAt) < WAKE_MS) return
    this.#wokenAt = now
    // If the recipient seems offline, we still send one message: its fresh lookup decides, not the notification.
    this.#setAway(state === 'offline')
    this.restart()
  }

  /** Called when a channel to this holder of the name has opened. */
  attached(since: number): void {
    const wasAway = this.#isAway
    if (this.#holder?.since === since) this.#setAway(false)
    this.wake(wasAway)
  }

  /** Sends everything again, and resets the resend wait. */
  restart(): void {
    this.#resendMs = RESEND_FIRST_MS
    this.wake(true)
  }

  /** Transmits the messages that are due. With `again`, all messages are due. */
  wake(again: boolean): void {
    if (again) for (const held of this.held) held.due = true
    this.#arm()
    this.pump()
  }

  get #isAway(): boolean {
    return this.#holder?.away ?? false
  }

  #setAway(away: boolean): void {
    if (this.#holder === undefined || this.#holder.away === away) return
    this.#holder.away = away
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

  /**
   * Sends the first remaining message again, with the new base. It sends no other message, because otherwise
   * each message that ends would cause a resend of all others.
   */
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

  /** Transmits the messages that are due and within the window. */
  pump(): void {
    if (this.held.length === 0) return
    if (this.#resend === undefined) this.#arm()
    const channel = this.#channels.get(this.to)
    // A channel may outlive the other peer's claim to the name.
    if (channel && channel.since !== this.#gone) this.#holder ??= { since: channel.since, away: false }
    if (this.#holder === undefined) return void this.#bind()
    const { since, away } = this.#holder
    const base = this.held[0]?.seq ?? 0
    let chars = 0
    for (const held of this.held) {
      const outside = held.seq >= base + WINDOW || chars > WINDOW_CHARS
      if (outside || (away && chars > 0)) return
      chars += held.body.length + 1
      if (held.due && !this.#transmit(held, since)) return
    }
  }

  /** Returns false if nothing more can be sent now. */
  #transmit(held: Held, since: number): boolean {
    const { to, kind, stream } = this
    const { seq, body, handshake } = held
    const base = this.held[0]?.seq ?? seq
    const frame: PeerMessageOf<'send'> = { type: 'send', to, since, stream, seq, base, kind, body }
    if (handshake !== undefined) frame.handshake = handshake
    // A resend makes the node look the name up in the registry, instead of using a cache or a local session.
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
    if (found === undefined || this.#holder !== undefined) return
    if (found === 'forbidden') return this.#endAll(found)
    const gone = this.#gone
    this.#gone = undefined
    const { state, since } = found
    if (state === 'offline' || since === undefined || since === gone) return this.#endAll('unavailable')
    this.#holder = { since, away: false }
    this.#setAway(state === 'away' && this.held.length > 0)
    this.pump()
  }

  /**
   * The holder that the line is bound to is gone. Messages that may have reached it are unavailable: they must never go
   * to the next holder [WD2]. A node handles the frames of a connection in order. So the message `refused`, and the
   * messages after it that were sent once and only through the server, reached nobody. They go to the next holder, as
   * do the messages that were never sent [WD3].
   */
  #rebind(refused: Held): void {
    for (const held of this.held) {
      const reachedNobody = held.tries === 1 && !held.channeled && held.seq >= refused.seq
      if (held.tries > 0 && !reachedNobody) held.end('unavailable')
    }
    this.#setAway(false)
    this.#gone = this.#holder?.since
    this.#holder = undefined
    this.stream = this.#options.streamId()
    this.#last = this.#sent = 0
    for (const held of this.held) Object.assign(held, { seq: ++this.#last, due: true, tries: 0, limited: 0 })
    this.wake(false)
  }
}

/**
 * How a message ends at its deadline. If a rate limit held back each try, the message reached nobody, and we know why.
 */
function lateResultOf({ tries, limited, channeled }: Held): SendResult {
  return limited > 0 && limited >= tries && !channeled ? 'rate-limited' : 'timeout'
}
