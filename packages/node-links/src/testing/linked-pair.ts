import type { Envelope } from '@peerage/core'
import { mintNodeId } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { UnconfirmedLimits } from '../link.js'
import { defaultUnconfirmedLimits } from '../link.js'
import { LinkedBus } from '../linked-bus.js'
import { numbered } from './envelopes.js'
import { SlowInbox, type Inboxes } from './slow-inbox.js'
import { TestSocket } from './socket-pair.js'

/** One of two nodes, and the numbers that it has received from the other one. */
export class LinkedNode {
  readonly id: NodeId = mintNodeId()
  readonly received: number[] = []
  readonly errors: unknown[] = []
  /** The numbers of envelopes that were reported as undelivered. */
  readonly undelivered: number[] = []
  readonly dialled: NodeId[] = []
  /** The result of each publish of this node, by the envelope's number. */
  readonly published = new Map<number, string>()
  readonly bus: LinkedBus
  #next = 0

  constructor(inboxes: Inboxes, limits: UnconfirmedLimits, most = 256) {
    this.bus = new LinkedBus({
      inbox: new SlowInbox(inboxes),
      dial: (node) => {
        this.dialled.push(node)
        return Promise.resolve(undefined)
      },
      identify: () => undefined,
      status: () => ({ state: 'live' }),
      clock: inboxes.clock,
      most,
      limits,
      onError: (error) => void this.errors.push(error),
      undelivered: (envelope) => void this.undelivered.push(numberOf(envelope)),
      onEvent: () => undefined,
    })
  }

  async listen(): Promise<void> {
    await this.bus.subscribe(this.id, (envelope) => void this.received.push(numberOf(envelope)))
  }

  /** How many envelopes this node has published. */
  get count(): number {
    return this.#next
  }

  /** Publishes envelopes with the next numbers. */
  send(to: LinkedNode, count: number): void {
    for (let i = 0; i < count; i++) {
      const number = this.#next++
      void this.bus.publish(to.id, numbered(number)).then((sent) => void this.published.set(number, sent))
    }
  }
}

export interface LinkedPair {
  clock: FakeClock
  inboxes: Inboxes
  a: LinkedNode
  b: LinkedNode
  /** Makes a new link between the two nodes, and returns its two ends. */
  link: (dialledBy?: 'a' | 'b') => [TestSocket, TestSocket]
  /** Lets this much time pass, and runs everything that it triggers. */
  pass: (ms: number) => Promise<void>
}

/** Two nodes whose inboxes deliver at once, and that have no link yet. */
export async function linkedPair(limits = defaultUnconfirmedLimits): Promise<LinkedPair> {
  const clock = new FakeClock()
  const inboxes: Inboxes = { clock, receivers: new Map(), delayMs: () => 0, fate: () => 'arrives' }
  const [a, b] = [new LinkedNode(inboxes, limits), new LinkedNode(inboxes, limits)]
  await a.listen()
  await b.listen()
  const link = (dialledBy: 'a' | 'b' = 'a'): [TestSocket, TestSocket] => {
    const [near, far] = TestSocket.pair()
    const rest = Buffer.alloc(0)
    a.bus.adopt({ socket: near, node: b.id, dialled: dialledBy === 'a', rest })
    b.bus.adopt({ socket: far, node: a.id, dialled: dialledBy === 'b', rest })
    return [near, far]
  }
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed <= ms; passed += STEP_MS) {
      await new Promise((resolve) => setImmediate(resolve))
      await clock.advance(Math.min(STEP_MS, ms - passed))
    }
    await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(0)
  }
  return { clock, inboxes, a, b, link, pass }
}

const STEP_MS = 5

function numberOf(envelope: Envelope): number {
  return envelope.type === 'superseded' ? envelope.epoch : Number.NaN
}
