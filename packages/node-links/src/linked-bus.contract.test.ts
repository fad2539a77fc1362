import { type Backend, type Bus, type OnError, systemClock } from '@peerage/core'
import { busContract, memoryContractCluster } from '@peerage/test-support/testing/core.js'
import type { NodeId } from '@peerage/protocol'
import { defaultUnconfirmedLimits } from './link.js'
import { LinkedBus } from './linked-bus.js'
import { TestSocket } from './testing/socket-pair.js'

// Runs the contract suite of every bus on a bus with links. All envelopes to a node except the first go over a link.

/** A bus that has a link to each node before it publishes there. */
class EagerBus implements Bus {
  static readonly all = new Map<NodeId, LinkedBus>()
  readonly #bus: LinkedBus
  #self: NodeId | undefined

  constructor(bus: LinkedBus) {
    this.#bus = bus
  }

  async subscribe(...[node, receive]: Parameters<Bus['subscribe']>): Promise<void> {
    if (this.#self !== undefined) EagerBus.all.delete(this.#self)
    await this.#bus.subscribe(node, receive)
    this.#self = node
    EagerBus.all.set(node, this.#bus)
  }

  publish(...[to, envelope]: Parameters<Bus['publish']>): ReturnType<Bus['publish']> {
    this.#link(to)
    return this.#bus.publish(to, envelope)
  }

  async close(): Promise<void> {
    if (this.#self !== undefined) EagerBus.all.delete(this.#self)
    await this.#bus.close()
  }

  readonly #linked = new Set<string>()

  #link(to: NodeId): void {
    const other = EagerBus.all.get(to)
    const pair = `${this.#self} ${to}`
    if (this.#self === undefined || other === undefined || to === this.#self || this.#linked.has(pair)) return
    this.#linked.add(pair)
    const [near, far] = TestSocket.pair()
    const rest = Buffer.alloc(0)
    this.#bus.adopt({ socket: near, node: to, dialled: true, rest })
    other.adopt({ socket: far, node: this.#self, dialled: false, rest })
  }
}

function linked(backend: Backend, onError: OnError): Backend {
  const bus = new LinkedBus({
    inbox: backend.bus,
    dial: () => Promise.resolve(undefined),
    identify: () => undefined,
    status: (node) => backend.nodes.status(node),
    clock: systemClock,
    most: 256,
    limits: defaultUnconfirmedLimits,
    onError,
    undelivered: () => undefined,
    onEvent: () => undefined,
  })
  return { ...backend, bus: new EagerBus(bus) }
}

busContract('links', async (pace) => {
  const cluster = await memoryContractCluster(pace, linked)
  // Links use the real clock.
  const pass = async (ms: number): Promise<void> => {
    await new Promise((resolve) => void systemClock.after(1, () => resolve(undefined)))
    await cluster.pass(ms)
  }
  return { ...cluster, pass }
})
