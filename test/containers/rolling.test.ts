import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type Channel, type Peer } from '@peerage/client'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { eventually } from '@peerage/test-support/process.js'
import { afterAll, describe, expect, test } from 'vitest'
import { check, CLEAN, outages, percentile } from '../chaos/checker.js'
import { History } from '../chaos/history.js'
import { Traffic } from '../chaos/traffic.js'
import { theEngine, type Engine } from './engine.js'
import { IMAGE } from './image-build.js'
import { GRACE_SECONDS, startTestbed, type ContainerNode, type ContainerTestbed } from './testbed.js'

const PEERS = 24
const SEED = 20_261_201
const HEALTH_DEADLINE_MS = 40_000
/** How long a sender may be without an answer while its node drains: as for F3 and F4 of the fault bench. */
const OUTAGE_P99_MS = 5_000
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

/** An image of another version, which runs beside the present one during the update. */
async function buildNext(engine: Engine): Promise<void> {
  const folder = await makeDirectory('next')
  const lines = [
    `FROM ${IMAGE}`,
    'LABEL org.opencontainers.image.version=next',
    'ENV PEERAGE_TIMES_DRAIN_MS=25000',
  ]
  await writeFile(join(folder, 'Dockerfile'), lines.join('\n'))
  await engine.docker(['build', '--quiet', '--tag', NEXT_IMAGE, folder])
  await removeDirectory(folder)
}

interface Direct {
  peers: readonly Peer[]
  /** Ends the sending and the handshakes. Resolves with what was sent, what arrived, and why handshakes failed. */
  finish(): Promise<{ sent: number; arrived: string[]; opened: number; failures: string[] }>
  /** Also if `finish` was never called. */
  close(): Promise<void>
}

/**
 * Two peers with a direct channel, which carries a number after the other, and two others that open a channel and close it,
 * again and again.
 */
async function startDirect(url: string): Promise<Direct> {
  const peers = await Promise.all(
    ['alice', 'bob', 'carol', 'dave'].map((name) => connect(url, { name, storage: null })),
  )
  const [alice, bob, carol, dave] = peers
  if (!alice?.p2p || !bob?.p2p || !carol?.p2p || !dave?.p2p) throw new Error('a peer has no P2P controller')
  const stopping = new AbortController()
  const arrived: string[] = []
  const accepted = new Promise<Channel>((resolve) => bob.p2p?.on('channel-opened', resolve))
  const channel = await alice.p2p.connect(bob.name)
  const closings: string[] = []
  ;(await accepted).on('message', (data) => arrived.push(String(data)))
  for (const end of [channel, await accepted]) end.on('close', (reason) => closings.push(reason))

  let sent = 0
  const sending = untilStopped(stopping.signal, () => channel.send(String(++sent)), 100)
  let opened = 0
  const failures: string[] = []
  const { p2p } = carol
  const handshakes = untilStopped(
    stopping.signal,
    async () => {
      try {
        const next = await p2p.connect(dave.name)
        opened++
        await next.close()
      } catch (error) {
        failures.push(String(error))
      }
    },
    200,
  )
  return {
    peers,
    finish: async () => {
      stopping.abort()
      await Promise.all([sending, handshakes])
      const all = (): Promise<true | undefined> => Promise.resolve(arrived.length >= sent ? true : undefined)
      await eventually('the channel has carried all messages', all, { deadlineMs: 10_000 })
      if (closings.length > 0) throw new Error(`the channel was closed: ${closings.join(', ')}`)
      return { sent, arrived, opened, failures }
    },
    close: async () => {
      stopping.abort()
      await Promise.allSettled([sending, handshakes])
      await Promise.all(peers.map((peer) => peer.leave()))
    },
  }
}

/** Acts again and again, with a pause after each time. */
async function untilStopped(signal: AbortSignal, act: () => Promise<void>, pauseMs: number): Promise<void> {
  while (!signal.aborted) {
    await act()
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

/** For each peer of the traffic, how often it got its name, and the times since when it has held it. */
function holdsOf(history: History, traffic: Traffic): { name: string; times: number; since: Set<number> }[] {
  return traffic.actors.map(({ name }) => {
    const since = history.events.flatMap((event) =>
      event.type === 'holds' && event.name === name ? [event.since] : [],
    )
    return { name, times: since.length, since: new Set(since) }
  })
}

afterAll(async () => {
  const engine = theEngine()
  if ((await engine.docker(['image', 'ls', '--quiet', NEXT_IMAGE])) !== '')
    await engine.docker(['image', 'rm', NEXT_IMAGE])
})

describe('rolling update of three containers under traffic', () => {
  test.concurrent.for([
    ['with links', true, '10.89.51'],
    ['without links', false, '10.89.52'],
  ] as const)(
    '%s: no acknowledged message is lost, doubled or reordered, no send fails, and names and channels stay',
    { timeout: 240_000 },
    async ([, links, subnet], { expect: expected }) => {
      const engine = theEngine()
      await buildNext(engine)
      const testbed = await startTestbed(engine, {
        prefix: links ? 'rolling-links' : 'rolling',
        subnet,
        links,
      })
      const history = new History()
      const traffic = new Traffic(history, SEED)
      let direct: Direct | undefined
      try {
        for (let i = 0; i < PEERS; i++) await traffic.join(testbed.balancer.url, `peer-${i}`)
        direct = await startDirect(testbed.balancer.url)
        const { peers } = direct
        const heldSince = peers.map(({ since }) => since)
        traffic.start()
        const injections: number[] = []
        const drains: number[] = []
        for (const node of testbed.nodes) {
          injections.push(history.now())
          drains.push(await update(testbed, node, NEXT_IMAGE))
        }
        const until = history.now()
        await traffic.quiet()
        const carried = await direct.finish()
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
            `${carried.sent} messages over the channel, ${carried.opened} handshakes, ${carried.failures.length} failed\n`,
        )
        expected(verdict).toMatchObject(CLEAN)
        expected(verdict.acknowledged).toBeGreaterThan(1_000)
        expected(failed).toEqual([])
        expected(percentile(outagesMs, 0.99)).toBeLessThanOrEqual(OUTAGE_P99_MS)
        expected(carried.arrived).toEqual(Array.from({ length: carried.sent }, (_, i) => String(i + 1)))
        expected(carried.failures).toEqual([])
        expected(carried.opened).toBeGreaterThan(20)
        // A name that changed hands, or was claimed anew, would have another time of its claim.
        expected(peers.map(({ since }) => since)).toEqual(heldSince)
        for (const { name, times, since } of holdsOf(history, traffic)) {
          expected(since.size, `${name} since ${[...since].join(', ')}`).toBe(1)
          expected(times, `${name} moved`).toBeGreaterThan(1)
        }
        for (const { container } of testbed.nodes)
          expected(await engine.docker(['inspect', '--format', '{{.Config.Image}}', container.name])).toBe(
            NEXT_IMAGE,
          )
      } finally {
        await direct?.close()
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
      expected(verdict).toMatchObject(CLEAN)
      for (const { name, since } of holdsOf(history, traffic))
        expected(since.size, `${name} since ${[...since].join(', ')}`).toBe(1)
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
  })
})
