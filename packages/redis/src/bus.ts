import type { NodeId } from '@peerage/protocol'
import type { Bus, Clock, Envelope, OnError, Timer } from '@peerage/core'
import { Batching, decodeEnvelopes, encodeEnvelope } from '@peerage/core'
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
  /** Bytes, as Redis gets them; what is not sent yet counts by its UTF-16 units. */
  length: number
}

/** Two seconds' worth of a busy node, and less memory than a thousand idle peers. */
export const defaultBusLimits: BusLimits = { envelopes: 20_000, length: 16 * 1024 * 1024 }

/** More envelopes than this within a millisecond, and those to one node wait for each other. */
const RUSH = 4
/**
 * Where something was published so short a time ago, an acknowledgement waits so long to go along with the next: each
 * publish wakes Redis and a node, and nobody's message waits for an acknowledgement.
 */
const ACK_WAIT_MS = 5

type Sent = 'sent' | 'unavailable'

/** Envelopes to one node that go out in one publish, in this order. */
interface Lane {
  payload: string
  waiting: ((sent: Sent) => void)[]
  /** Goes when what has arrived by now has been read; else it is acknowledgements, which wait. */
  soon: boolean
}

/** One publish that Redis has not answered. */
interface Flight {
  until: number
  waiting: ((sent: Sent) => void)[]
}

/** Node to node over sharded pub/sub: one channel a node, so a message costs the same in a cluster of any size. */
export class RedisBus implements Bus {
  readonly #options: RedisBusOptions
  #inbox: string | undefined
  readonly #batching: Batching
  readonly #lanes = new Map<NodeId, Lane>()
  #flushing = false
  #ackTimer: Timer | undefined
  /** When something was last published. */
  #sentAt = Number.NEGATIVE_INFINITY
  readonly #flights = new Set<Flight>()
  #deadline: Timer | undefined
  #envelopes = 0
  #length = 0
  #malformed = 0
  #closed = false

  constructor(options: RedisBusOptions) {
    this.#options = options
    this.#batching = new Batching(RUSH, options.clock)
  }

  /** The channel that is subscribed to, or shall be. */
  get inbox(): string | undefined {
    return this.#inbox
  }

  /** Payloads that were not envelopes, since the start. */
  get malformed(): number {
    return this.#malformed
  }

  async subscribe(node: NodeId, receive: (envelope: Envelope) => void): Promise<void> {
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

  publish(to: NodeId, envelope: Envelope): Promise<Sent> {
    const { limits } = this.#options
    if (this.#closed) return UNAVAILABLE
    const record = encodeEnvelope(envelope)
    if (this.#envelopes >= limits.envelopes || this.#length + record.length > limits.length)
      return UNAVAILABLE
    this.#envelopes++
    this.#length += record.length
    return new Promise((resolve) => {
      const lane = this.#lanes.get(to) ?? { payload: '', waiting: [], soon: false }
      lane.payload += record
      lane.waiting.push(resolve)
      const rush = this.#batching.add()
      if (this.#mayWait(envelope)) {
        this.#lanes.set(to, lane)
        this.#ackTimer ??= this.#options.clock.after(ACK_WAIT_MS, () => {
          this.#ackTimer = undefined
          this.#flush('all')
        })
      } else if (rush || lane.soon) {
        lane.soon = true
        this.#lanes.set(to, lane)
        this.#flushSoon()
      } else {
        this.#lanes.delete(to)
        this.#send(to, lane)
      }
    })
  }

  #mayWait(envelope: Envelope): boolean {
    if (envelope.type !== 'deliver' || envelope.message.kind !== 'ack') return false
    return this.#options.clock.monotonic() - this.#sentAt < ACK_WAIT_MS
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#deadline?.cancel()
    this.#ackTimer?.cancel()
    if (this.#inbox !== undefined) this.#options.subscriptions.drop(this.#inbox)
    this.#inbox = undefined
    for (const lane of this.#lanes.values()) for (const settle of lane.waiting) settle('unavailable')
    this.#lanes.clear()
    for (const flight of this.#flights) for (const settle of flight.waiting) settle('unavailable')
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

  #flush(which: 'all' | 'soon'): void {
    for (const [to, lane] of this.#lanes) {
      if (which === 'soon' && !lane.soon) continue
      this.#lanes.delete(to)
      this.#send(to, lane)
    }
  }

  #send(to: NodeId, { payload, waiting }: Lane): void {
    const { publishing, keys, clock, commandMs } = this.#options
    const count = waiting.length
    // Counted for all at once: V8 copies a string that was put together before it counts its bytes.
    const bytes = Buffer.byteLength(payload)
    this.#length += bytes - payload.length
    this.#sentAt = clock.monotonic()
    const published = publishing.publish(keys.inbox(to), payload)
    if (published === undefined) {
      this.#landed(waiting, count, bytes, 'unavailable')
      return
    }
    const flight: Flight = { until: clock.monotonic() + commandMs, waiting }
    this.#flights.add(flight)
    this.#watchDeadlines()
    published.then(
      (heard) => {
        this.#flights.delete(flight)
        this.#landed(waiting, count, bytes, heard === 0 ? 'unavailable' : 'sent')
      },
      (error: unknown) => {
        this.#flights.delete(flight)
        this.#landed(waiting, count, bytes, 'unavailable')
        this.#options.onError(error, { stage: 'bus publish', envelopes: count })
      },
    )
  }

  // What Redis still owes an answer for takes memory, whether or not its caller still waits.
  #landed(waiting: Flight['waiting'], count: number, bytes: number, sent: Sent): void {
    this.#envelopes -= count
    this.#length -= bytes
    for (const settle of waiting.splice(0)) settle(sent)
  }

  // Flights are in the order of their deadlines: one timer looks after them all.
  #watchDeadlines(): void {
    if (this.#deadline || this.#closed) return
    const { clock, commandMs } = this.#options
    this.#deadline = clock.after(commandMs / DEADLINE_STEPS, () => {
      this.#deadline = undefined
      const now = clock.monotonic()
      for (const flight of this.#flights) {
        if (flight.until > now) break
        this.#flights.delete(flight)
        for (const settle of flight.waiting.splice(0)) settle('unavailable')
      }
      if (this.#flights.size > 0) this.#watchDeadlines()
    })
  }

  #receive(payload: string, receive: (envelope: Envelope) => void): void {
    const { onError } = this.#options
    const malformed = decodeEnvelopes(payload, (envelope) => {
      try {
        receive(envelope)
      } catch (error) {
        onError(error, { stage: 'bus receive' })
      }
    })
    if (malformed === 0) return
    this.#malformed += malformed
    onError(new Error('not an envelope'), { stage: 'bus receive', malformed })
  }
}

const UNAVAILABLE: Promise<Sent> = Promise.resolve('unavailable')
/** A deadline is noticed late by at most this part of it. */
const DEADLINE_STEPS = 8
