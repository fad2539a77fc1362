import type { NodeId } from '@peerage/protocol'
import type { Bus, Clock, Envelope, OnError, Origin, Published, Receive, Timer } from '@peerage/core'
import { Batches, decodeEnvelopes, encodeEnvelope } from '@peerage/core'
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
  /** This node's canary arrived on its inbox. */
  onCanary: (inbox: string) => void
  onError: OnError
}

/** How much may wait for Redis's answer, over all destinations. */
export interface BusLimits {
  envelopes: number
  /** Bytes, as sent to Redis. */
  length: number
}

/** This holds two seconds of traffic of a busy node, and takes less memory than a thousand idle peers. */
export const defaultBusLimits: BusLimits = { envelopes: 20_000, length: 16 * 1024 * 1024 }

/** One envelope of a publish. */
interface Outgoing {
  record: string
  bytes: number
  resolve: (sent: Published) => void
}

/** A publish that Redis has not answered. */
interface PendingPublish {
  outgoing: Outgoing[]
  deadline: Timer
}

/** The bus over sharded pub/sub. Each node has one channel, so a message costs the same in a cluster of any size. */
export class RedisBus implements Bus {
  readonly #options: RedisBusOptions
  #inbox: string | undefined
  readonly #batches: Batches<NodeId, Outgoing>
  readonly #pending = new Set<PendingPublish>()
  #envelopes = 0
  #length = 0
  #malformed = 0
  #closed = false

  constructor(options: RedisBusOptions) {
    this.#options = options
    this.#batches = new Batches({
      clock: options.clock,
      send: (to, outgoing) => this.#send(to, outgoing),
    })
  }

  /** The channel that this node subscribes to. */
  get inbox(): string | undefined {
    return this.#inbox
  }

  /** Records that were not envelopes, since the start. */
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
    // An acknowledgement may wait for a moment [CALL5], because no message waits for it.
    const isAck = envelope.type === 'deliver' && envelope.message.kind === 'ack'
    return new Promise((resolve) => this.#batches.add(to, { record, bytes, resolve }, isAck))
  }

  async close(): Promise<void> {
    if (!this.#closed) this.#batches.flush()
    this.#closed = true
    if (this.#inbox !== undefined) this.#options.subscriptions.drop(this.#inbox)
    this.#inbox = undefined
    settle(this.#batches.stop(), 'unavailable')
    for (const { outgoing, deadline } of this.#pending) {
      deadline.cancel()
      settle(outgoing, 'unavailable')
    }
    this.#pending.clear()
  }

  #send(to: NodeId, outgoing: Outgoing[]): void {
    const { publishing, keys, clock, commandMs, onError } = this.#options
    const envelopes = outgoing.length
    let payload = ''
    let bytes = 0
    for (const one of outgoing) {
      payload += one.record
      bytes += one.bytes
    }
    const published = publishing.publish(keys.inbox(to), payload)
    const pending: PendingPublish = {
      outgoing,
      deadline: clock.after(commandMs, () => settle(outgoing, 'unavailable')),
    }
    this.#pending.add(pending)
    // A publish without an answer takes memory, even if its caller no longer waits.
    const finish = (sent: Published): void => {
      pending.deadline.cancel()
      this.#pending.delete(pending)
      this.#envelopes -= envelopes
      this.#length -= bytes
      settle(outgoing, sent)
    }
    if (published === undefined) return finish('unavailable')
    published.then(
      (heard) => finish(heard === 0 ? 'unavailable' : 'sent'),
      (error: unknown) => {
        finish('unavailable')
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
    onError(new Error('a payload on the bus is not an envelope'), { stage: 'bus receive', malformed })
  }
}

const UNAVAILABLE: Promise<Published> = Promise.resolve('unavailable')

function settle(outgoing: Outgoing[], sent: Published): void {
  for (const { resolve } of outgoing.splice(0)) resolve(sent)
}
