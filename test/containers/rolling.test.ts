import { connect, type Channel, type Peer } from '@peerage/client'
import { eventually } from '@peerage/test-support/process.js'
import { describe, expect, test } from 'vitest'
import { check, outages, percentile, type Verdict } from '../chaos/checker.js'
import { History } from '../chaos/history.js'
import { Traffic } from '../chaos/traffic.js'
import { theEngine } from './engine.js'
import { IMAGE } from './image-build.js'
import { GRACE_SECONDS, startTestbed, type ContainerNode, type ContainerTestbed } from './testbed.js'

const PEERS = 24
const SEED = 20_261_201
const HEALTH_DEADLINE_MS = 40_000
/** How long a sender may be without an answer while its node drains: as for F3 and F4 of the fault bench. */
const OUTAGE_P99_MS = 5_000
const NOTHING: Pick<Verdict, 'lost' | 'doubled' | 'reordered' | 'strangers' | 'heldTwice' | 'unsettled'> = {
  lost: [],
  doubled: [],
  reordered: [],
  strangers: [],
  heldTwice: [],
  unsettled: [],
}
const NEXT_IMAGE = 'peerage-test/next:latest'

/** Ends a node's container by the image's stop signal, and waits until the next one takes peers. */
async function update(testbed: ContainerTestbed, node: ContainerNode, image: string): Promise<number> {
  const { code, ms } = await node.container.end(GRACE_SECONDS)
  if (code !== 0) throw new Error(`the node ended with ${code}: ${await node.container.logs()}`)
  await node.replace(image)
  // The image's own command, which the engine runs at the interval that the image declares.
  await node.container.healthy(HEALTH_DEADLINE_MS)
  await testbed.balancer.until(node.index, 'UP')
  return ms
}

/** Two peers with a direct channel, which carries a number after the other until `stop`. */
async function openChannel(
  url: string,
  pair: string,
): Promise<{ peers: readonly [Peer, Peer]; stop: () => Promise<{ sent: number; arrived: string[] }> }> {
  const alice = await connect(url, { name: `${pair}-alice`, storage: null })
  const bob = await connect(url, { name: `${pair}-bob`, storage: null })
  const arrived: string[] = []
  const receiving = new Promise<Channel>((resolve) => bob.p2p?.on('channel-opened', resolve))
  const channel = await alice.p2p?.connect(bob.name)
  if (channel === undefined) throw new Error('these peers have no P2P controller')
  let ended = false
  ;(await receiving).on('message', (data) => arrived.push(String(data)))
  for (const end of [channel, await receiving]) end.on('close', () => (ended = true))
  let sent = 0
  let sending: Promise<unknown> = Promise.resolve()
  const timer = setInterval(() => {
    sending = sending.then(() => channel.send(String(++sent)))
  }, 100)
  return {
    peers: [alice, bob],
    stop: async () => {
      clearInterval(timer)
      await sending
      const all = (): Promise<true | undefined> => Promise.resolve(arrived.length >= sent ? true : undefined)
      await eventually('the channel has carried all messages', all, { deadlineMs: 10_000 })
      if (ended) throw new Error('the channel was closed')
      await Promise.all([alice.leave(), bob.leave()])
      return { sent, arrived }
    },
  }
}

describe('rolling update of three containers under traffic', () => {
  test.concurrent.for([
    ['with links', true, '10.89.51'],
    ['without links', false, '10.89.52'],
  ] as const)(
    '%s: no acknowledged message is lost, doubled or reordered, no send fails, and names and channels stay',
    { timeout: 240_000 },
    async ([, links, subnet], { expect: expected }) => {
      const engine = theEngine()
      // Another version, beside which the old one runs during the update.
      await engine.docker(['image', 'tag', IMAGE, NEXT_IMAGE])
      const testbed = await startTestbed(engine, {
        prefix: links ? 'rolling-links' : 'rolling',
        subnet,
        links,
      })
      const history = new History()
      const traffic = new Traffic(history, SEED)
      try {
        for (let i = 0; i < PEERS; i++) await traffic.join(testbed.balancer.url, `peer-${i}`)
        const channel = await openChannel(testbed.balancer.url, 'pair')
        traffic.start()
        const injections: number[] = []
        const drains: number[] = []
        for (const node of testbed.nodes) {
          injections.push(history.now())
          drains.push(await update(testbed, node, NEXT_IMAGE))
        }
        const until = history.now()
        await traffic.quiet()
        const carried = await channel.stop()
        const verdict = check(history.events, { overlapMs: 1_000, endMs: history.now(), deadlineMs: 30_000 })
        const outagesMs = injections.flatMap((at) => outages(history.events, at, until))
        const failed = history.events.filter(
          (event) => event.type === 'settled' && event.outcome !== 'delivered',
        )
        process.stderr.write(
          `rolling update, ${links ? 'with' : 'without'} links: ${verdict.acknowledged} messages acknowledged, ` +
            `${failed.length} sends failed, outage p50/p99/max ` +
            `${[0.5, 0.99, 1].map((share) => percentile(outagesMs, share).toFixed(0)).join('/')} ms, ` +
            `drained in ${drains.map((ms) => ms.toFixed(0)).join(', ')} ms, ` +
            `all in ${((until - (injections[0] ?? 0)) / 1000).toFixed(0)} s; ` +
            `${carried.sent} messages over the channel\n`,
        )
        expected(verdict).toMatchObject(NOTHING)
        expected(verdict.acknowledged).toBeGreaterThan(1_000)
        expected(failed).toEqual([])
        expected(percentile(outagesMs, 0.99)).toBeLessThanOrEqual(OUTAGE_P99_MS)
        expected(carried.arrived).toEqual(Array.from({ length: carried.sent }, (_, i) => String(i + 1)))
        // A name that changed hands, or was claimed anew, would have another time of its claim.
        for (const { name } of traffic.actors) {
          const since = history.events.flatMap((event) =>
            event.type === 'holds' && event.name === name ? [event.since] : [],
          )
          expected(new Set(since).size, `${name} since ${since.join(', ')}`).toBe(1)
          expected(since.length, `${name} moved`).toBeGreaterThan(1)
        }
      } finally {
        await traffic.stop()
        await testbed.stop()
      }
    },
  )

  test.concurrent('a container that is killed gives its names back, and its peers come back with them', async ({
    expect: expected,
  }) => {
    const engine = theEngine()
    const testbed = await startTestbed(engine, { prefix: 'rolling-killed', subnet: '10.89.53', links: true })
    const history = new History()
    const traffic = new Traffic(history, SEED)
    try {
      for (let i = 0; i < PEERS; i++) await traffic.join(testbed.balancer.url, `peer-${i}`)
      traffic.start()
      const [victim] = testbed.nodes
      if (victim === undefined) throw new Error('there is no node')
      const injected = history.now()
      await victim.container.kill()
      await victim.replace()
      await victim.container.healthy(HEALTH_DEADLINE_MS)
      await testbed.balancer.until(victim.index, 'UP')
      const until = history.now()
      await traffic.quiet()
      const verdict = check(history.events, { overlapMs: 1_000, endMs: history.now(), deadlineMs: 30_000 })
      expected(verdict).toMatchObject(NOTHING)
      expected(percentile(outages(history.events, injected, until), 0.99)).toBeLessThanOrEqual(OUTAGE_P99_MS)
    } finally {
      await traffic.stop()
      await testbed.stop()
    }
  })

  test('nothing is left', async () => {
    const engine = theEngine()
    expect(await engine.docker(['ps', '--all', '--quiet', '--filter', 'name=^rolling'])).toBe('')
    expect(await engine.docker(['network', 'ls', '--quiet', '--filter', 'name=^rolling'])).toBe('')
    await engine.docker(['image', 'rm', NEXT_IMAGE])
  })
})
