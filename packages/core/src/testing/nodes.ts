import { memoryCluster } from '../memory/index.js'
import type { MemoryCluster } from '../memory/index.js'
import { Node } from '../node.js'
import type { Times } from '../times.js'
import { defaultTimes } from '../times.js'
import type { Cut } from './cut.js'
import { cuttable } from './cut.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'

/** Nodes on one memory store, with a clock that only the test moves. */
export interface TestCluster {
  clock: FakeClock
  cluster: MemoryCluster
  nodes: Node[]
  cuts: Map<Node, Cut>
  errors: unknown[]
  events: string[]
  times: Times
}

export async function testCluster(count: number): Promise<TestCluster> {
  const clock = new FakeClock()
  const cluster = memoryCluster({ clock, times: defaultTimes })
  const made: TestCluster = {
    clock,
    cluster,
    nodes: [],
    cuts: new Map(),
    errors: [],
    events: [],
    times: defaultTimes,
  }
  for (let i = 0; i < count; i++) made.nodes.push(await addNode(made))
  return made
}

export async function addNode(made: TestCluster): Promise<Node> {
  const cut = cuttable(made.cluster.backend())
  const node = new Node({
    backend: cut.backend,
    times: made.times,
    clock: made.clock,
    claimMs: 10_000,
    mailboxMs: 5_000,
    onError: (error) => made.errors.push(error),
    onEvent: (event) => made.events.push(event),
  })
  made.cuts.set(node, cut)
  await node.start()
  return node
}

export async function two(): Promise<TestCluster & { a: Node; b: Node }> {
  const made = await testCluster(2)
  const [a, b] = made.nodes
  if (!a || !b) throw new Error('expected two nodes')
  // After one beat of each node, each node knows the other.
  await made.clock.advance(made.times.beatMs)
  return { ...made, a, b }
}

export function cutOf(cuts: Map<Node, Cut>, node: Node): Cut {
  const found = cuts.get(node)
  if (!found) throw new Error('this node does not belong to this cluster')
  return found
}

export function cutOff(cuts: Map<Node, Cut>, node: Node, cut: boolean): void {
  cutOf(cuts, node).cut = cut
}
