import type { Peer } from '@peerage/protocol'
import type { OnError } from '../backend.js'
import type { Clock, Timer } from '../lib/clock.js'
import { HeldBytes } from './held-bytes.js'
import type { Mailbox } from './mailbox.js'
import type { Message } from './message.js'
import type { Nodes } from '../names/nodes.js'
import type { Registry } from '../names/registry.js'
import { RegistryUnavailable } from '../names/registry.js'
import { presenceOf } from '../presence/presence.js'

export interface MailOptions {
  mailbox: Mailbox
  registry: Registry
  nodes: Nodes
  clock: Clock
  /** How long a name waits for its holder. */
  graceMs: number
  /** How long a queue lasts, in milliseconds. */
  expireMs: number
  /** Routes a message whose recipient came online at the moment of the put. */
  arrived: (message: Message) => void
  /** The recipient did not come: tells the sender. */
  expired: (message: Message) => void
  onError: OnError
}

/** The registry's clock is not ours, so we ask a little late, when the queue is surely old enough. */
const EXPIRE_MARGIN_MS = 50
/** If the store does not answer when a queue has ended, we ask again after this time. */
const EXPIRE_RETRY_MS = 1_000
const EXPIRE_TRIES = 5

/** Holds messages for absent peers, and tells their senders when the peer did not come in time. */
export class Mail {
  readonly #options: MailOptions
  #stopped = false
  readonly #held: HeldBytes
  /** One timer for each queue. A new queue for the same peer has another `since`, and its own timer. */
  readonly #expiries = new Map<Peer, { since: number; timer: Timer }>()

  constructor(options: MailOptions) {
    this.#options = options
    this.#held = new HeldBytes(options.clock, options.expireMs)
  }

  /**
   * Returns false if the mailbox is full, or if too many bytes of this sender or of this node wait. Rejects with
   * RegistryUnavailable when the store fails. In both cases the message was not kept. `gone` is the epoch of a holder
   * that did not take the message. Its socket ends before the registry knows, so finding that holder is no reason to
   * route the message again.
   */
  async hold(message: Message, gone?: number): Promise<boolean> {
    const { mailbox, arrived, onError } = this.#options
    const since = await this.#put(message)
    if (since === undefined) return false
    this.#expectExpiry(message.to, since)
    try {
      // The peer may have claimed its name and emptied its mailbox between our look-up and our put.
      if (await this.#isBack(message.to, gone))
        for (const waiting of await mailbox.take(message.to)) arrived(waiting)
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) throw error
      // The message is kept all the same, and its sender is told when the queue ends.
      onError(error, { stage: 'mailbox check' })
    }
    return true
  }

  // Not the router's look-up, which may share one that began before the put.
  async #isBack(peer: Peer, gone: number | undefined): Promise<boolean> {
    const { registry, nodes, graceMs } = this.#options
    const lease = await registry.lookup(peer)
    return lease?.epoch !== gone && presenceOf(lease, nodes, graceMs) === 'online'
  }

  /** Returns when the queue was created. Undefined: the message was not kept, and does not count. */
  async #put(message: Message): Promise<number | undefined> {
    const bytes = Buffer.byteLength(message.frame)
    if (!this.#held.take(message.from, bytes)) return undefined
    let since: number | undefined
    try {
      const put = await this.#options.mailbox.put(message.to, message)
      if (put.ok) since = put.since
      return since
    } finally {
      if (since === undefined) this.#held.give(message.from, bytes)
    }
  }

  /**
   * Takes the messages that wait for a peer that has just claimed its name, in order. A gateway whose messages set
   * `hold` calls it after each claim, and sends them to the peer. Rejects with RegistryUnavailable; they then stay in
   * the mailbox.
   */
  take(peer: Peer): Promise<Message[]> {
    return this.#options.mailbox.take(peer)
  }

  stop(): void {
    this.#stopped = true
    for (const { timer } of this.#expiries.values()) timer.cancel()
    this.#expiries.clear()
  }

  #expectExpiry(peer: Peer, since: number): void {
    const expected = this.#expiries.get(peer)
    if (expected?.since === since) return
    expected?.timer.cancel()
    this.#expireAfter(this.#options.expireMs + EXPIRE_MARGIN_MS, peer, since, EXPIRE_TRIES)
  }

  #expireAfter(ms: number, peer: Peer, since: number, tries: number): void {
    const { mailbox, clock, expired, onError } = this.#options
    const timer = clock.after(ms, () => {
      this.#expiries.delete(peer)
      mailbox.expire(peer).then(
        (messages) => {
          for (const message of messages) expired(message)
        },
        (error: unknown) => {
          onError(error, { stage: 'mailbox expire' })
          // The senders still have to be told, unless a newer message has started its own timer.
          if (tries > 1 && !this.#stopped && !this.#expiries.has(peer))
            this.#expireAfter(EXPIRE_RETRY_MS, peer, since, tries - 1)
        },
      )
    })
    this.#expiries.set(peer, { since, timer })
  }
}
