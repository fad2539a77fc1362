import type { Kind, Name, NodeMessageOf, PresenceState } from '@peerage/protocol'
import { Line } from './line.js'
import type { Carrier, Outgoing, OutboxOptions, SendResult, Holder } from './signaling.js'

/** Unsettled messages of this peer, for all recipients together. Beyond this, `send` fails at once [WD11]. */
export const HELD_MESSAGES = 1_024
export const HELD_CHARS = 8 * 1024 * 1024
/** How many of them may be signals. This peer answers any stranger's offer with signals, which must not fill the outbox. */
export const HELD_SIGNALS = 256
/** For how many idle recipients we remember the holder of the name, so that the next message needs no look-up. */
const IDLE_LINES = 256
const KINDS: Kind[] = ['message', 'signal']

/** The sending half of delivery: holds each message until it is acknowledged, refused or given up. */
export class Outbox {
  readonly #options: OutboxOptions
  /** By kind and recipient, least recently used first. */
  readonly #lines = new Map<string, Line>()
  readonly #channels = new Map<Name, { since: number; carrier: Carrier }>()
  #messages = 0
  #signals = 0
  #chars = 0
  #closed = false

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  /** Resolves to how the message ended. Never rejects. */
  send(message: Outgoing): Promise<SendResult> {
    const refused = this.#refusal(message)
    if (refused !== undefined) return Promise.resolve(refused)
    const line = this.#line(message.to, message.kind)
    this.#count(message, 1)
    return new Promise((resolve) => {
      line.add(message, (result) => {
        this.#count(message, -1)
        resolve(result)
      })
    })
  }

  /** Why the message fails at once; undefined if it does not. */
  #refusal({ to, kind, body, via, signal }: Outgoing): SendResult | undefined {
    if (this.#closed) return 'closed'
    if (signal?.aborted) return 'aborted'
    if (via === 'p2p-only' && !this.#channels.has(to)) return 'unavailable'
    const isFull =
      (kind === 'signal' && this.#signals >= HELD_SIGNALS && !this.#evictFor(to)) ||
      this.#messages >= HELD_MESSAGES ||
      this.#chars + body.length > HELD_CHARS
    return isFull ? 'queue-full' : undefined
  }

  acked(acked: NodeMessageOf<'acked'>): void {
    this.#find(acked.from, acked.stream)?.acked(acked)
  }

  /** Takes a node's notice about a message that the node did not pass on. */
  notice(notice: NodeMessageOf<'notice'>): void {
    this.#find(notice.to, notice.stream)?.notice(notice)
  }

  presence(name: Name, state: PresenceState): void {
    for (const line of this.#linesTo(name)) line.presence(state)
  }

  /** Sends all unacknowledged messages again, because there is a new connection. */
  online(): void {
    for (const line of this.#lines.values()) line.restart()
  }

  attach(to: Holder, carrier: Carrier): () => void {
    const channel = { since: to.since, carrier }
    this.#channels.set(to.name, channel)
    for (const line of this.#linesTo(to.name)) line.attached(to.since)
    return () => {
      if (this.#channels.get(to.name) !== channel) return
      this.#channels.delete(to.name)
      for (const line of this.#linesTo(to.name)) line.wake(true)
    }
  }

  kick(to: Name): void {
    for (const line of this.#linesTo(to)) line.pump()
  }

  close(): void {
    this.#closed = true
    for (const line of this.#lines.values()) line.close()
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
    const line = this.#lines.get(key) ?? new Line(to, kind, this.#options, this.#channels)
    this.#lines.delete(key)
    this.#lines.set(key, line)
    if (this.#lines.size > IDLE_LINES)
      for (const [idle, { isIdle }] of this.#lines)
        if (isIdle && idle !== key) {
          this.#lines.delete(idle)
          break
        }
    return line
  }

  #count({ kind, body }: Outgoing, more: 1 | -1): void {
    this.#messages += more
    if (kind === 'signal') this.#signals += more
    this.#chars += more * body.length
  }

  /**
   * Makes room for a signal, so that strangers that never acknowledge do not keep this peer from answering others. Ends
   * the oldest signal for the recipient with most of them. Returns false if no recipient has more than `to`.
   */
  #evictFor(to: Name): boolean {
    let most: Line | undefined
    for (const line of this.#lines.values())
      if (line.kind === 'signal' && line.held.length > (most?.held.length ?? 0)) most = line
    const own = this.#lines.get(`signal ${to}`)?.held.length ?? 0
    if (most === undefined || most.held.length <= own + 1) return false
    most.held[0]?.end('queue-full')
    return true
  }
}
