import { readFile } from 'node:fs/promises'
import { connect, type Peer } from '@peerage/client'
import { createPeerage, type Peerage } from '@peerage/server'
import { startTopology, topologies } from '@peerage/test-support/redis-topologies.js'
import { traceCalls, type CallTrace, type Place } from '@peerage/test-support/call-trace.js'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

// docs/architecture.md tells which method passes a message to which, from one application to the other. These tests send
// messages through real nodes, and compare the calls that V8 saw with what the document says.

const DOCUMENT = new URL('../../docs/architecture.md', import.meta.url)

/** The methods that a section of the document lists, in order. */
async function stepsOf(heading: string): Promise<Place[]> {
  const [, rest = ''] = (await readFile(DOCUMENT, 'utf8')).split(`\n### ${heading}\n`)
  const [section = ''] = rest.split(/\n##/)
  const steps = Array.from(
    section.matchAll(/^\d+\. \[`[^`]+`\]\(\.\.\/(packages\/[^)]+\.ts)\): `([A-Z]\w+\.#?\w+)`/gm),
    ([, file = '', method = '']) => ({ file, method }),
  )
  expect(steps, `docs/architecture.md, "${heading}"`).not.toEqual([])
  return steps
}

const methodsOf = (steps: readonly Place[]): string[] => steps.map(({ method }) => method)

/** Undo what a test has started, last first. */
const closers: (() => unknown)[] = []
let trace: CallTrace

/** Two nodes on one Redis, Alice on the first and Bob on the second. */
async function start(redisUrl: string, links?: { host: string }): Promise<{ alice: Peer; bob: Peer }> {
  const nodes: Peerage[] = []
  const peers: Peer[] = []
  for (const name of ['alice', 'bob']) {
    const node = createPeerage({
      port: 0,
      redis: { url: redisUrl },
      ...(links === undefined ? {} : { links }),
      // No ping falls into the moment in which calls are recorded.
      times: { pingIntervalMs: 40_000, pingTimeoutMs: 20_000, deadlineMs: 65_000, graceMs: 70_000 },
      log: { level: 'silent' },
    })
    nodes.push(node)
    closers.push(() => node.stop())
    const { url } = await node.listen()
    await node.ready()
    const peer = await connect(url, { name, p2p: false })
    peers.push(peer)
    closers.push(() => peer.leave())
  }
  // Until a node has seen another one alive, it looks that node's peers up for each message.
  for (const node of nodes)
    await vi.waitFor(async () => expect(await node.metrics()).toMatch(/^peerage_nodes_live\S* 2$/m), {
      timeout: 10_000,
    })
  const [alice, bob] = peers
  if (alice === undefined || bob === undefined) throw new Error('two peers were connected')
  bob.on('message', () => {})
  return { alice, bob }
}

async function stop(): Promise<void> {
  for (const close of closers.splice(0).toReversed()) await close()
}

describe.each(topologies)('docs/architecture.md, Follow one message, on Redis %s', (topology) => {
  let alice: Peer
  let there: Place[]
  let arrival: Place[]
  let back: Place[]

  beforeAll(async () => {
    const redis = await startTopology(topology)
    closers.push(() => redis.stop())
    there = await stepsOf('From Alice to the bus')
    arrival = await stepsOf('From the bus to Bob')
    back = await stepsOf('The acknowledgement')
    ;({ alice } = await start(redis.url))
    trace = await traceCalls(
      distinct([...there, ...arrival, ...back, ...(await stepsOf('The first message'))]),
    )
    closers.push(() => trace.stop())
  })

  afterAll(stop)

  test('the first message to a name looks it up', async () => {
    trace.clear()
    await alice.send('bob', 'the first')
    for (const method of methodsOf(await stepsOf('The first message')))
      expect(trace.calls, method).toContain(method)
  })

  test('a message takes the steps that are listed, and so does its acknowledgement', async () => {
    trace.clear()
    await alice.send('bob', 'hello')
    expect(trace.calls).toEqual(methodsOf([...there, ...arrival, ...back]))
  })
})

describe('docs/architecture.md, Follow one message, over a link', () => {
  let alice: Peer
  let way: Place[]

  beforeAll(async () => {
    const redis = await startTopology('standalone')
    closers.push(() => redis.stop())
    const link = await stepsOf('Over a link')
    way = [
      ...(await stepsOf('From Alice to the bus')).slice(0, -1),
      ...link,
      ...(await stepsOf('From the bus to Bob')).slice(1),
    ]
    ;({ alice } = await start(redis.url, { host: '127.0.0.1' }))
    trace = await traceCalls(distinct([...way, ...(await stepsOf('From Alice to the bus')).slice(-1)]))
    closers.push(() => trace.stop())
  })

  afterAll(stop)

  test('the link takes the place of Redis once two nodes are busy', async () => {
    const wayThere = methodsOf(way)
    await vi.waitFor(
      async () => {
        trace.clear()
        await alice.send('bob', 'again')
        expect(trace.calls.slice(0, wayThere.length)).toEqual(wayThere)
        expect(trace.calls).not.toContain('RedisBus.publish')
      },
      { timeout: 20_000, interval: 10 },
    )
  })
})

function distinct(places: readonly Place[]): Place[] {
  return [...new Map(places.map((place) => [place.method, place])).values()]
}
