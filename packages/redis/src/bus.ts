import type { NodeId } from '@peerage/protocol'
import type { Bus, Clock, Envelope, OnError, Origin, Published, Receive, Timer } from '@peerage/core'
import { decodeEnvelopes, encodeEnvelope } from '@peerage/core'
import { CANARY } from './connections/health.js'
import type { Keys } from './keys.js'
import type { Publishing } from './connections/publishing.js'
import type { Subscriptions } from './connections/subscriptions.js'

export interface RedisBusOptions {
  publishing: Publishing
  subscriptions: Subscriptions
  keys: Keys
  clock: Clock
  commandMs: number
  limits: BusLimits
  /** This node heard itself on its inbox. */
  onCanary: (inbox: string) => void
  onError: OnError
}

/** What may wait for Redis's answer at once, over all destinations. */
export interface BusLimits {
  envelopes: number
  /** Bytes, as Redis gets them. */
  length: number
}

/** Two seconds' worth of a busy node, and less memory than a thousand idle peers. */
export const defaultBusLimits: BusLimits = { envelopes: 20_000, length: 16 * 1024 * 1024 }

/**
 * Where something was published so short a time ago, an acknowledgement waits so long to go along with the next: each
 * publish wakes Redis and a node, and nobody's message waits for an acknowledgement. Measured (node and Redis, CPU): a
 * quarter less at 2,000 acknowledged messages a second.
 */
const ACK_WAIT_MS = 5

/**
 * Envelopes to one node that go out in one publish, in this order: when what has arrived by now has been read, or if
 * they are only acknowledgements, a little later. Measured (node and Redis, CPU): a third less at 6,000 messages a
 * second to one node, half at 20,000, and nothing at 1,000.
 */
interface Batch {
  payload: string
  bytes: number
  waiting: ((sent: Published) => void)[]
  onlyAcks: boolean
}

/** One publish that Redis has not answered. */
interface Flight {
  waiting: ((sent: Published) => void)[]
  deadline: Timer
}

/** Node to node over sharded pub/sub: one channel a node, so a message costs the same in a cluster of any size. */
export class RedisBus implements Bus {
  readonly #options: RedisBusOptions
  #inbox: string | undefined
  readonly #batches = new Map<NodeId, Batch>()
  #flushing = false
  #ackTimer: Timer | undefined
  /** When something was last published. */
  #sentAt = Number.NEGATIVE_INFINITY
  readonly #flights = new Set<Flight>()
  #envelopes = 0
  #length = 0
  #malformed = 0
  #closed = false

  constructor(options: RedisBusOptions) {
    this.#options = options
  }

  /** The channel that is subscribed to, or shall be. */
  get inbox(): string | undefined {
    return this.#inbox
  }

  /** Payloads that were not envelopes, since the start. */
  get malformed(): number {
    return this.#malformed
  }

  async subscribe(node: NodeId, receive: Receive): Promise<void> {
    const { subscriptions, keys } = this.#options
    const inbox = keys.inbox(node)
    if (this.#inbox !== undefined && this.#inbox !== inbox) subscriptions.drop(this.#inbox)
    this.#inbox = inbox
    const hear = (payload: string): void => {
      if (payload === CANARY) this.#options.onCanary(inbox)
      else this.#receive(payload, receive)
    }
    await subscriptions.want(inbox, hear, 'node')
  }

  publish(to: NodeId, envelope: Envelope, origin?: Origin): Promise<Published> {
    const { limits } = this.#options
    if (this.#closed) return UNAVAILABLE
    const record = encodeEnvelope(envelope, origin)
    const bytes = Buffer.byteLength(record)
    if (this.#envelopes >= limits.envelopes || this.#length + bytes > limits.length) return UNAVAILABLE
    this.#envelopes++
    this.#length += bytes
    return new Promise((resolve) => {
      const batch = this.#batches.get(to) ?? { payload: '', bytes: 0, waiting: [], onlyAcks: true }
      this.#batches.set(to, batch)
      batch.payload += record
      batch.bytes += bytes
      batch.waiting.push(resolve)
      if (this.#mayWait(envelope)) return this.#flushLater()
      batch.onlyAcks = false
      this.#flushSoon()
    })
  }

  #mayWait(envelope: Envelope): boolean {
    if (envelope.type !== 'deliver' || envelope.message.kind !== 'ack') return false
    return this.#options.clock.monotonic() - this.#sentAt < ACK_WAIT_MS
  }

  async close(): Promise<void> {
    if (!this.#closed) this.#flush('soon')
    this.#closed = true
    this.#ackTimer?.cancel()
    if (this.#inbox !== undefined) this.#options.subscriptions.drop(this.#inbox)
    this.#inbox = undefined
    for (const { waiting } of this.#batches.values()) settle(waiting, 'unavailable')
    this.#batches.clear()
    for (const { waiting, deadline } of this.#flights) {
      deadline.cancel()
      settle(waiting, 'unavailable')
    }
    this.#flights.clear()
  }

  #flushSoon(): void {
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      this.#flush('soon')
    })
  }

  #flushLater(): void {
    this.#ackTimer ??= this.#options.clock.after(ACK_WAIT_MS, () => {
      this.#ackTimer = undefined
      this.#flush('all')
    })
  }

  #flush(which: 'all' | 'soon'): void {
    for (const [to, batch] of this.#batches) {
      if (which === 'soon' && batch.onlyAcks) continue
      this.#batches.delete(to)
      this.#send(to, batch)
    }
  }

  #send(to: NodeId, { payload, bytes, waiting }: Batch): void {
    const { publishing, keys, clock, commandMs, onError } = this.#options
    const envelopes = waiting.length
    this.#sentAt = clock.monotonic()
    const published = publishing.publish(keys.inbox(to), payload)
    const flight: Flight = {
      waiting,
      deadline: clock.after(commandMs, () => settle(waiting, 'unavailable')),
    }
    this.#flights.add(flight)
    // What Redis still owes an answer for takes memory, whether or not its caller still waits.
    const land = (sent: Published): void => {
      flight.deadline.cancel()
      this.#flights.delete(flight)
      this.#envelopes -= envelopes
      this.#length -= bytes
      settle(waiting, sent)
    }
    if (published === undefined) return land('unavailable')
    published.then(
      (heard) => land(heard === 0 ? 'unavailable' : 'sent'),
      (error: unknown) => {
        land('unavailable')
        onError(error, { stage: 'bus publish', envelopes })
      },
    )
  }

  #receive(payload: string, receive: Receive): void {
    const { onError } = this.#options
    const malformed = decodeEnvelopes(payload, (envelope, origin) => {
      try {
        receive(envelope, origin)
      } catch (error) {
        onError(error, { stage: 'bus receive' })
      }
    })
    if (malformed === 0) return
    this.#malformed += malformed
    onError(new Error('not an envelope'), { stage: 'bus receive', malformed })
  }
}

const UNAVAILABLE: Promise<Published> = Promise.resolve('unavailable')

function settle(waiting: Flight['waiting'], sent: Published): void {
  for (const resolve of waiting.splice(0)) resolve(sent)
}
