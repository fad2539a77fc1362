import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { NodeId } from '@peerage/protocol'
import { parseApp } from '@peerage/protocol'
import type { Node } from '../node.js'
import type { AnonymousSession } from '../sessions/sessions.js'
import { must } from '../testing/cluster.js'
import { poolNamed } from '../testing/contracts/pools-contract.js'
import type { TestCluster } from '../testing/nodes.js'
import { cutOff, testCluster } from '../testing/nodes.js'
import { RecordedConnection } from '../testing/peers.js'

const NODES = 3
const SOCKETS = 2
const pool = poolNamed('swarm')
const app = must(parseApp('default'))

/** `at` is one of the sockets of all nodes, `node` a node. */
type Step =
  | { type: 'enter'; at: number; id: string; draw: number; ttlMs: number; marked: boolean }
  | { type: 'leave'; at: number; id: string }
  | { type: 'end'; at: number }
  | { type: 'wait'; ms: number }
  | { type: 'flush' }
  | { type: 'kill' | 'lapse'; node: number }

const at = fc.nat(NODES * SOCKETS - 1)
const id = fc.nat(5).map((n) => `m${n}`)
const enter = fc.record({
  type: fc.constant('enter' as const),
  at,
  id,
  draw: fc.nat(8),
  ttlMs: fc.constantFrom(5_000, 60_000, 300_000),
  marked: fc.boolean(),
})
const nodeStep = fc.record({
  type: fc.constantFrom('kill' as const, 'lapse' as const),
  node: fc.nat(NODES - 1),
})
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: enter },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('leave' as const), at, id }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('end' as const), at }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.nat(20_000) }) },
    { weight: 1, arbitrary: fc.constant({ type: 'flush' as const }) },
    { weight: 1, arbitrary: nodeStep },
  ),
  { maxLength: 60 },
)

interface Socket {
  node: Node
  session: AnonymousSession
  /** A later socket has taken one of its ids. */
  isStale: boolean
}

interface Expected {
  socket: Socket
  marked: boolean
  endsAt: number
}

/** What the pool must hold, beside the nodes that hold it. */
class Model {
  readonly #made: TestCluster
  readonly #sockets = new Map<number, Socket>()
  readonly #members = new Map<string, Expected>()
  readonly #killed = new Set<Node>()
  readonly #formerIds = new Set<NodeId>()
  /** Members of killed nodes. They may be counted until somebody draws them. */
  #ghosts = 0

  constructor(made: TestCluster) {
    this.#made = made
  }

  async run(step: Step): Promise<void> {
    this.#forgetEnded()
    switch (step.type) {
      case 'enter':
        return this.#enter(step)
      case 'leave':
        return this.#leave(step)
      case 'end':
        return this.#end(step.at)
      case 'wait':
        await this.#made.clock.advance(step.ms)
        return
      case 'flush':
        await this.#endStale()
        this.#made.cluster.flush()
        await this.#made.clock.advance(2 * this.#made.times.beatMs)
        this.#ghosts = 0
        return
      case 'kill':
        return this.#kill(this.#node(step.node))
      case 'lapse':
        return this.#lapse(this.#node(step.node))
    }
  }

  async #enter({
    at: place,
    id: self,
    marked,
    draw,
    ttlMs,
  }: Extract<Step, { type: 'enter' }>): Promise<void> {
    const socket = this.#sockets.get(place) ?? this.#connect(place)
    if (this.#killed.has(socket.node)) return
    const former = this.#members.get(self)
    if (former !== undefined && former.socket !== socket) former.socket.isStale = true
    const entered = await socket.node.pools.enter(socket.session, pool, self, { marked, draw, ttlMs })
    if (typeof entered === 'string') throw new Error(entered)
    const isMarked = marked || former?.marked === true
    this.#members.set(self, { socket, marked: isMarked, endsAt: this.#made.clock.monotonic() + ttlMs })
    const ids = entered.drawn.map((one) => one.id)
    expect(ids).not.toContain(self)
    expect(new Set(ids).size).toBe(ids.length)
    for (const one of entered.drawn) {
      const known = this.#members.get(one.id)
      const [node, connection] = [known?.socket.node.id, known?.socket.session.connection.id]
      expect(one).toEqual({ id: one.id, node, connection, marked: known?.marked })
      expect(this.#formerIds).not.toContain(one.node)
    }
    // Only while members of a killed node are left may a draw have fewer.
    const most = Math.min(draw, this.#members.size - 1)
    expect(ids.length).toBeLessThanOrEqual(most)
    if (this.#ghosts === 0) expect(ids).toHaveLength(most)
    const count = [...this.#members.values()].filter((one) => one.marked).length
    expect(entered.size.members - this.#members.size).toBeOneOf(range(this.#ghosts))
    expect(entered.size.marked - count).toBeOneOf(range(this.#ghosts))
    await socket.node.pools.settled()
  }

  async #leave({ at: place, id: self }: Extract<Step, { type: 'leave' }>): Promise<void> {
    const socket = this.#sockets.get(place)
    if (socket === undefined || this.#killed.has(socket.node)) return
    await socket.node.pools.leave(socket.session, pool, self)
    if (this.#members.get(self)?.socket === socket) this.#members.delete(self)
  }

  async #end(place: number): Promise<void> {
    const socket = this.#sockets.get(place)
    if (socket === undefined || this.#killed.has(socket.node)) return
    await socket.node.end(socket.session.connection.id, 'left')
    await socket.node.pools.settled()
    this.#sockets.delete(place)
    for (const [self, known] of this.#members) if (known.socket === socket) this.#members.delete(self)
  }

  async #kill(node: Node): Promise<void> {
    // One node stays.
    if (this.#killed.has(node) || this.#killed.size === NODES - 1) return
    const { cuts, clock, times } = this.#made
    cutOff(cuts, node, true)
    this.#killed.add(node)
    this.#formerIds.add(node.id)
    await clock.advance(times.nodeLeaseMs + 2 * times.beatMs)
    for (const [self, known] of this.#members)
      if (known.socket.node === node) {
        this.#members.delete(self)
        this.#ghosts++
      }
  }

  async #lapse(node: Node): Promise<void> {
    if (this.#killed.has(node)) return
    const { cuts, clock, times } = this.#made
    await this.#endStale()
    this.#formerIds.add(node.id)
    cutOff(cuts, node, true)
    await clock.advance(times.nodeLeaseMs + 2 * times.beatMs)
    cutOff(cuts, node, false)
    await clock.advance(4 * times.beatMs)
    expect(this.#formerIds).not.toContain(node.id)
  }

  // A node that writes its memberships back does not know that one has moved and then ended elsewhere. By then a ping has
  // found that the former socket is dead.
  async #endStale(): Promise<void> {
    for (const [place, socket] of this.#sockets) if (socket.isStale) await this.#end(place)
  }

  #forgetEnded(): void {
    const now = this.#made.clock.monotonic()
    for (const [self, known] of this.#members) if (known.endsAt <= now) this.#members.delete(self)
  }

  #connect(place: number): Socket {
    const node = this.#node(Math.floor(place / SOCKETS))
    const connection = new RecordedConnection(node.sessions.newId(), 'webtorrent')
    node.open(connection)
    const admission = node.admit(connection, app)
    if (!admission.ok) {
      // A killed node admits nobody.
      if (!this.#killed.has(node)) throw new Error(admission.code)
      return { node, session: { state: 'anonymous', connection, app }, isStale: false }
    }
    const socket = { node, session: admission.session, isStale: false }
    this.#sockets.set(place, socket)
    return socket
  }

  #node(n: number): Node {
    const node = this.#made.nodes[n]
    if (node === undefined) throw new Error(`there is no node ${n}`)
    return node
  }
}

const range = (most: number): number[] => Array.from({ length: most + 1 }, (_, i) => i)

test('a draw never has the member itself, one that has ended, or one of a dead node, and sizes are right', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const made = await testCluster(NODES)
      await made.clock.advance(made.times.beatMs)
      const model = new Model(made)
      for (const step of all) await model.run(step)
    }),
    { numRuns: 300 },
  )
}, 60_000)
