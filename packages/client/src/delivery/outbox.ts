import type { Kind, Name, NodeMessageOf, PeerMessageOf, PresenceState } from '@peerage/protocol'
import { onAbort } from '../lib/abort.js'
import type { Clock } from '../lib/clock.js'
import { WINDOW } from './inbox.js'
import { lateVerdictOf, newLine, verdictOf } from './line.js'
import type { Held, Line, Outgoing } from './line.js'
import type { Carrier, SendResult, Stay } from './signaling.js'
import { isUnread, readUnread } from './unread.js'

/** Resend what is unacknowledged after this, doubling to the second, with a quarter of jitter [D10]. */
const RESEND_FIRST_MS = 2_000
const RESEND_MOST_MS = 8_000
/** After giving a message up, the recipient is told (by `base`) this soon, so that later ones need not wait. */
const SKIP_MS = 50
/** News of one recipient wakes at most this often: a tier that says online and away in turn must not be flooded. */
const WAKE_MS = 1_000
/** What one peer holds for all recipients; past it, `send` fails at once [D11]. */
export const HELD_MESSAGES = 1_024
export const HELD_CHARS = 8 * 1024 * 1024
/** Of these, signals: strangers' offers are answered, and must not take the room of messages. */
export const HELD_SIGNALS = 256
/** Unacknowledged characters on their way to one recipient: below what a node buffers for a slow consumer. */
const WINDOW_CHARS = 256 * 1024
/** Idle recipients whose binding is kept, so that the next message needs no look-up. */
const IDLE_LINES = 256
const KINDS: Kind[] = ['message', 'signal']

export interface OutboxDeps {
  clock: Clock
  /** In [0, 1). */
  random: () => number
  /** 64 random bits as 11 characters of base64url. */
  streamId: () => string
  server: Carrier
  /** Undefined: no answer now. Never rejects. */
  lookup: (name: Name) => Promise<{ state: PresenceState; since?: number } | undefined>
  /** While messages wait for a peer that is away, its presence is watched. */
  watch: (name: Name) => void
  unwatch: (name: Name) => void
}

/** The sending half of delivery: holds each message until it is acknowledged, refused or given up. */
export class Outbox {
  readonly #deps: OutboxDeps
  readonly #lines = new Map<string, Line>()
  readonly #channels = new Map<Name, { since: number; carrier: Carrier }>()
  #messages = 0
  #signals = 0
  #chars = 0
  #closed = false

  constructor(deps: OutboxDeps) {
    this.#deps = deps
  }

  /** Resolves once, with how the message ended. Never rejects. */
  send(message: Outgoing): Promise<SendResult> {
    const { to, kind, body, via, handshake, signal, deadlineMs } = message
    if (this.#closed) return Promise.resolve('closed')
    if (signal?.aborted) return Promise.resolve('aborted')
    if (via === 'p2p-only' && !this.#channels.has(to)) return Promise.resolve('unavailable')
    if (kind === 'signal' && this.#signals >= HELD_SIGNALS && !this.#pushOut(to))
      return Promise.resolve('queue-full')
    if (this.#messages >= HELD_MESSAGES || this.#chars + body.length > HELD_CHARS)
      return Promise.resolve('queue-full')
    const line = this.#line(to, kind)
    return new Promise((resolve) => {
      const timer = this.#deps.clock.after(deadlineMs, () => held.end(lateVerdictOf(held)))
      const ignore = onAbort(signal, () => held.end('aborted'))
      const held: Held = {
        seq: ++line.last,
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
          this.#settle(line, held)
          resolve(result)
        },
      }
      line.held.push(held)
      this.#messages++
      if (kind === 'signal') this.#signals++
      this.#chars += body.length
      this.#pump(line)
    })
  }

  /**
   * Makes room for a signal: strangers that acknowledge none must not keep this peer from answering others. Of the
   * recipient for whom most are held the oldest gives way. False: no other recipient has more than this one.
   */
  #pushOut(to: Name): boolean {
    let most: Line | undefined
    for (const line of this.#lines.values())
      if (line.kind === 'signal' && line.held.length > (most?.held.length ?? 0)) most = line
    const own = this.#lines.get(`signal ${to}`)?.held.length ?? 0
    if (most === undefined || most.held.length <= own + 1) return false
    most.held[0]?.end('queue-full')
    return true
  }

  acked({ from, stream, next, unread }: NodeMessageOf<'acked'>): void {
    const line = this.#find(from, stream)
    // An acknowledgement of what was never transmitted is nobody's: ignored [D12].
    if (line === undefined || next > line.sent + 1) return
    const settled = line.held.filter(({ seq }) => seq < next)
    if (settled.length === 0) return
    const wasAway = line.away
    line.resendMs = RESEND_FIRST_MS
    this.#setAway(line, false)
    const bits = readUnread(unread)
    for (const held of settled) held.end(isUnread(bits, next, held.seq) ? 'incompatible' : 'delivered')
    this.#wake(line, wasAway)
    const head = line.held[0]
    // A message in between was given up: the recipient waits for it until it hears of the new base.
    if (head !== undefined && head.tries > 0 && head.seq > next) this.#skip(line)
  }

  /** What a node knows at once about a message that it did not hand on. */
  notice({ to, stream, seq, code }: NodeMessageOf<'notice'>): void {
    const line = this.#find(to, stream)
    const held = line?.held.find((one) => one.seq === seq)
    if (line === undefined || held === undefined) return
    const verdict = verdictOf(code)
    if (verdict === 'unavailable') this.#over(line, held)
    else if (verdict === 'incompatible') for (const one of line.held) one.end(verdict)
    else if (verdict !== undefined) held.end(verdict)
    else if (code === 'away') this.#setAway(line, true)
    else if (code === 'rate-limited') held.limited++
  }

  presence(name: Name, state: PresenceState): void {
    for (const line of this.#linesTo(name)) {
      const now = this.#deps.clock.now()
      if (!line.away || state === 'away' || Math.abs(now - line.wokenAt) < WAKE_MS) continue
      line.wokenAt = now
      line.resendMs = RESEND_FIRST_MS
      // Of one that is gone, the fresh look-up of the next probe decides, not the notification.
      this.#setAway(line, state === 'offline')
      this.#wake(line, true)
    }
  }

  /** A new connection: everything unacknowledged goes out again, at once. */
  online(): void {
    for (const line of this.#lines.values()) {
      line.resendMs = RESEND_FIRST_MS
      this.#wake(line, true)
    }
  }

  attach(to: Stay, carrier: Carrier): () => void {
    const channel = { since: to.since, carrier }
    this.#channels.set(to.name, channel)
    for (const line of this.#linesTo(to.name)) {
      const wasAway = line.away
      if (line.since === to.since) this.#setAway(line, false)
      this.#wake(line, wasAway)
    }
    return () => {
      if (this.#channels.get(to.name) !== channel) return
      this.#channels.delete(to.name)
      for (const line of this.#linesTo(to.name)) this.#wake(line, true)
    }
  }

  kick(to: Name): void {
    for (const line of this.#linesTo(to)) this.#pump(line)
  }

  close(): void {
    this.#closed = true
    for (const line of this.#lines.values()) {
      for (const held of line.held) held.end('closed')
      line.timer?.cancel()
      line.skip?.cancel()
    }
    this.#lines.clear()
  }

  #linesTo(name: Name): Line[] {
    return KINDS.flatMap((kind) => this.#lines.get(`${kind} ${name}`) ?? [])
  }

  #find(to: Name, stream: string): Line | undefined {
    return this.#linesTo(to).find((line) => line.stream === stream)
  }

  #line(to: Name, kind: Kind): Line {
    const key = `${kind} ${to}`
    const line = this.#lines.get(key) ?? newLine(to, kind, this.#deps.streamId(), RESEND_FIRST_MS)
    this.#lines.delete(key)
    this.#lines.set(key, line)
    if (this.#lines.size > IDLE_LINES)
      for (const [idle, { held, looking }] of this.#lines)
        if (held.length === 0 && !looking && idle !== key) {
          this.#lines.delete(idle)
          break
        }
    return line
  }

  #settle(line: Line, held: Held): void {
    // A new list each time: whoever walks the old one may settle as it goes.
    line.held = line.held.filter((one) => one !== held)
    this.#messages--
    if (line.kind === 'signal') this.#signals--
    this.#chars -= held.body.length
    if (line.held.length === 0) {
      line.timer?.cancel()
      line.timer = undefined
      line.skip?.cancel()
      line.skip = undefined
      this.#setAway(line, false)
    } else if (held.tries > 0 && held.seq < (line.held[0]?.seq ?? 0)) this.#skip(line)
  }

  /** The first that is left goes out again, with the new base. The others do not: each that ends would resend them all. */
  #skip(line: Line): void {
    line.skip ??= this.#deps.clock.after(SKIP_MS, () => {
      line.skip = undefined
      const [head] = line.held
      if (head !== undefined) head.due = true
      this.#pump(line)
    })
  }

  #setAway(line: Line, away: boolean): void {
    if (line.away === away) return
    line.away = away
    if (away) this.#deps.watch(line.to)
    else this.#deps.unwatch(line.to)
  }

  /** Transmits what is due; `again`: also what was transmitted and is unacknowledged. */
  #wake(line: Line, again: boolean): void {
    if (again) for (const held of line.held) held.due = true
    this.#arm(line, line.resendMs)
    this.#pump(line)
  }

  #arm(line: Line, ms: number): void {
    line.timer?.cancel()
    line.timer = undefined
    if (line.held.length === 0) return
    line.timer = this.#deps.clock.after(ms * (0.75 + this.#deps.random() / 2), () => {
      line.resendMs = Math.min(RESEND_MOST_MS, line.resendMs * 2)
      this.#wake(line, true)
    })
  }

  #pump(line: Line): void {
    if (line.held.length === 0) return
    if (line.timer === undefined) this.#arm(line, line.resendMs)
    const channel = this.#channels.get(line.to)?.since
    // A channel may outlive its peer's hold on the name.
    if (channel !== line.gone) line.since ??= channel
    if (line.since === undefined) return void this.#bind(line)
    const first = line.held[0]?.seq ?? 0
    let chars = 0
    for (const held of line.held) {
      const outside = held.seq >= first + WINDOW || chars > WINDOW_CHARS
      if (outside || (line.away && chars > 0)) return
      chars += held.body.length + 1
      if (held.due && !this.#transmit(line, held, line.since)) return
    }
  }

  /** False: nothing more goes out now. */
  #transmit(line: Line, held: Held, since: number): boolean {
    const { to, kind, stream } = line
    const { seq, body, handshake } = held
    const base = line.held[0]?.seq ?? seq
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
    if (sent === false) sent = this.#deps.server.send(frame)
    if (sent !== true) return false
    held.due = false
    held.tries++
    held.channeled ||= channeled
    line.sent = Math.max(line.sent, seq)
    return true
  }

  async #bind(line: Line): Promise<void> {
    if (line.looking) return
    line.looking = true
    const found = await this.#deps.lookup(line.to)
    line.looking = false
    if (found === undefined || line.since !== undefined) return
    const { gone } = line
    line.gone = undefined
    if (found.state === 'offline' || found.since === undefined || found.since === gone) {
      for (const held of line.held) held.end('unavailable')
      return
    }
    line.since = found.since
    this.#setAway(line, found.state === 'away' && line.held.length > 0)
    this.#pump(line)
  }

  /**
   * The stay that the line is bound to is over. What may have reached it is unavailable: it must never go to
   * a stranger [D2]. `refused` and what was transmitted after it, once and only to the server, reached nobody,
   * for a node takes the frames of a connection in order: it goes, with what was never transmitted, to whoever holds the name now [D3].
   */
  #over(line: Line, refused: Held): void {
    for (const held of line.held) {
      const reachedNobody = held.tries === 1 && !held.channeled && held.seq >= refused.seq
      if (held.tries > 0 && !reachedNobody) held.end('unavailable')
    }
    line.gone = line.since
    line.since = undefined
    line.stream = this.#deps.streamId()
    line.last = line.sent = 0
    for (const held of line.held) Object.assign(held, { seq: ++line.last, due: true, tries: 0, limited: 0 })
    this.#setAway(line, false)
    this.#wake(line, false)
  }
}
