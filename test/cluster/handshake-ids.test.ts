import { connect, type Outcome, type Peer } from '@peerage/client'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startNodes, type LogRecord, type Node } from '@peerage/test-support/node.js'
import { eventually } from '@peerage/test-support/process.js'
import { startTopology, topologies, type Deployment } from '@peerage/test-support/redis-topologies.js'

// One id identifies a handshake in both peers and both nodes, so that an operator can find out why it failed.

const DEADLINE_MS = 10_000

let redis: Deployment

let clusters = 0

async function clusterAt(level: string): Promise<[Node, Node]> {
  const nodes = await startNodes(2, {
    redisUrl: redis.url,
    args: ['--redis-prefix', `pg${++clusters}:`, '--admin-port', '0', '--log-level', level],
  })
  onTestFinished(() => Promise.all(nodes.map((node) => node.stop())).then(() => undefined))
  const [one, other] = nodes
  if (one === undefined || other === undefined) throw new Error('two nodes were started')
  return [one, other]
}

interface Watched {
  peer: Peer
  outcome: Promise<Outcome>
}

async function peerOn(node: Node, name: string, accept = true): Promise<Watched> {
  const peer = await connect(node.url, { name, storage: null, p2p: { accept: () => accept } })
  onTestFinished(() => peer.leave())
  return { peer, outcome: new Promise((resolve) => peer.p2p?.on('outcome', resolve)) }
}

function of(handshake: string, msg: string): (record: LogRecord) => boolean {
  return (record) => record['msg'] === msg && record['handshake'] === handshake
}

/** `peerage_handshakes_total` by its labels. */
async function handshakes(node: Node): Promise<Record<string, number>> {
  const text = await (await fetch(`${node.admin}/metrics`)).text()
  const lines = text.matchAll(/^peerage_handshakes_total\{path="([a-z]+)",stage="([a-z-]+)"\} (\d+)$/gm)
  return Object.fromEntries([...lines].map(([, path, stage, count]) => [`${path} ${stage}`, Number(count)]))
}

async function expectCounted(node: Node, expected: Record<string, number>): Promise<void> {
  await eventually(
    `the counters are ${JSON.stringify(expected)}`,
    async () => {
      expect(await handshakes(node)).toEqual(expected)
      return true
    },
    { deadlineMs: DEADLINE_MS },
  )
}

describe.each(topologies)('the id of a handshake, %s', (topology) => {
  beforeAll(async () => {
    redis = await startTopology(topology)
  })
  afterAll(() => redis.stop())

  test("is in both peers' outcomes, in each signal that a node logs at debug, and in the report", async () => {
    const [one, other] = await clusterAt('debug')
    const [alice, bob] = [await peerOn(one, 'alice'), await peerOn(other, 'bob')]
    await alice.peer.p2p?.connect('bob')
    const [called, answered] = [await alice.outcome, await bob.outcome]
    expect(called).toMatchObject({ peer: 'bob', path: 'direct' })
    expect(answered).toMatchObject({ peer: 'alice', path: 'direct', handshake: called.handshake })
    const steps = (node: Node): unknown[] =>
      node
        .logs()
        .filter(of(called.handshake, 'signal'))
        .map((record) => record['step'])
    // The offer goes from one node to the other, and the answer comes back.
    for (const node of [one, other])
      await expect.poll(() => steps(node)).toEqual(expect.arrayContaining(['forwarded', 'received']))
    const report = await one.log(of(called.handshake, 'handshake'))
    expect(report).toMatchObject({ path: 'direct', ms: Math.round(called.ms) })
  })

  test('is logged at info in one line per handshake, with the outcome', async () => {
    const [one, other] = await clusterAt('info')
    const [alice] = [await peerOn(one, 'alice'), await peerOn(other, 'bob')]
    await alice.peer.p2p?.connect('bob')
    const { handshake } = await alice.outcome
    await one.log(of(handshake, 'handshake'))
    const lines = [one, other].flatMap((node) =>
      node.logs().filter((record) => record['handshake'] === handshake),
    )
    expect(lines.length).toBe(1)
  })

  test('the metrics count handshakes by path and by the stage that failed', async () => {
    const [one, other] = await clusterAt('info')
    const alice = await peerOn(one, 'alice')
    await peerOn(other, 'bob')
    await peerOn(other, 'shy', false)
    await alice.peer.p2p?.connect('bob')
    await expectCounted(one, { 'direct open': 1 })
    const failed: Outcome[] = []
    alice.peer.p2p?.on('outcome', (outcome) => failed.push(outcome))
    await expect(alice.peer.p2p?.connect('nobody')).rejects.toMatchObject({ stage: 'not-found' })
    await expect(alice.peer.p2p?.connect('shy')).rejects.toMatchObject({ stage: 'no-answer' })
    await expectCounted(one, { 'direct open': 1, 'failed not-found': 1, 'failed no-answer': 1 })
    for (const { handshake, stage } of failed)
      expect(await one.log(of(handshake, 'handshake'))).toMatchObject({ path: 'failed', stage })
    // Only the caller reports.
    expect(await handshakes(other)).toEqual({})
  })
})
