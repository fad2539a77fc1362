import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { run, startChild } from '@peerage/test-support/process.js'
import { percentile } from '../checker.js'
import { metricsOf } from '../links.js'
import { RawPeer } from '../raw-peer.js'
import type { Fault, Context } from '../context.js'
import { heal, inject, isHealthy, race, until, wait } from '../context.js'
import { startNode } from '@peerage/test-support/node.js'
import { redisOf } from '../testbed.js'

const FLOODER = fileURLToPath(new URL('../flooder.mjs', import.meta.url))
const CROWD = fileURLToPath(new URL('../crowd.mjs', import.meta.url))
const FLOOD_MS = 8_000

/** The durations of deliveries that were sent and settled within a time window. */
function latencies(context: Context, from: number, until: number): number[] {
  const asked = new Map<string, number>()
  const taken: number[] = []
  for (const event of context.history.events) {
    if (event.at < from || event.at > until) continue
    if (event.type === 'send') asked.set(event.id, event.at)
    if (event.type === 'settled' && event.outcome === 'delivered') {
      const at = asked.get(event.id)
      if (at !== undefined) taken.push(event.at - at)
    }
  }
  return taken
}

/** The p99 of other peers' deliveries before and during `act`. */
async function neighbours(
  context: Context,
  act: () => Promise<void>,
): Promise<{ beforeMs: number; duringMs: number }> {
  const from = context.history.now()
  await wait(6_000)
  const began = context.history.now()
  await act()
  await wait(1_000)
  return {
    beforeMs: percentile(latencies(context, from, began), 0.99),
    duringMs: percentile(latencies(context, began, context.history.now()), 0.99),
  }
}

/** Below this a p99 is noise of the machine, and a ratio of two of them means nothing. */
const NOISE_MS = 60

function noteNeighbours(
  context: Context,
  { beforeMs, duringMs }: { beforeMs: number; duringMs: number },
): void {
  context.note('neighbours p99 before, ms', beforeMs)
  context.note('neighbours p99 during, ms', duringMs, { atMost: 2 * Math.max(beforeMs, NOISE_MS) })
}

function memberUrl(context: Context, index: number): string {
  return `http://127.0.0.1:${context.testbed.members[index]?.port ?? 0}`
}

async function lookupSince(peer: RawPeer, name: string): Promise<number> {
  const found = new Promise<number>((resolve) => {
    peer.ws.on('message', (data: Buffer) => {
      const match = /"state":"online","since":(\d+)/.exec(data.toString())
      if (match) resolve(Number(match[1]))
    })
  })
  peer.send('lookup', { id: 1, names: [name] })
  return found
}

async function metric(context: Context, index: number, name: string): Promise<number> {
  const member = context.testbed.members[index]
  if (!member) throw new Error(`the testbed has no node ${index}`)
  return (await metricsOf(member))(name)
}

const slowConsumers = (context: Context): Promise<number> =>
  metric(context, 0, 'peerage_slow_consumer_closes_total')

/** The default of `times.pingIntervalMs`. */
const PING_MS = 10_000
/** Some seconds until it is far behind, then two pings, and time for a busy machine. */
const CUT_WITHIN_MS = 3 * PING_MS + 10_000

/** A peer that reads too slowly, and a peer that sends to it within its own limits, so that the reader is judged. */
class SlowReader {
  readonly #timers: NodeJS.Timeout[] = []

  private constructor(
    readonly reader: RawPeer,
    readonly writer: RawPeer,
    since: number,
  ) {
    const body = 'x'.repeat(16_000)
    let seq = 0
    const to = { to: reader.name, since, stream: 'A'.repeat(11), base: 1, kind: 'signal', body }
    this.#every(20, () => writer.send('send', { ...to, seq: ++seq }))
    // It also sends, as a peer that acknowledges does: a peer with late pongs must not count as dead.
    this.#every(2_000, () => {
      if (reader.closeCode === undefined) reader.send('lookup', { id: 1, names: [reader.name] })
    })
  }

  static async open(url: string, name: string): Promise<SlowReader> {
    const [reader, writer] = [await RawPeer.open(url, name), await RawPeer.open(url, `${name}-writer`)]
    return new SlowReader(reader, writer, await lookupSince(writer, name))
  }

  /** Reads some 64 KB, then pauses: a quarter of what it is sent. */
  readSlowly(): void {
    const { ws } = this.reader
    ws.on('message', () => {
      if (ws.isPaused) return
      ws.pause()
      this.#timers.push(setTimeout(() => ws.resume(), 300))
    })
  }

  end(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.reader.end()
    this.writer.end()
  }

  #every(ms: number, act: () => void): void {
    this.#timers.push(setInterval(act, ms))
  }
}

export const loadFaults: readonly Fault[] = [
  {
    id: 'F16',
    title: 'five idle minutes behind a balancer with an idle timeout of 30 s',
    testbed: { balancer: { PEERAGE_TUNNEL_TIMEOUT: '30s' } },
    idle: true,
    outageP99Ms: 1_000,
    watchMs: 301_000,
    run: async (context) => {
      const from = context.history.now()
      await inject(context, 'F16', 'nothing, for 300 s', () => wait(300_000))
      const drops = context.history.events.filter((event) => event.type === 'lost' && event.at > from).length
      context.note('connections dropped', drops, { atMost: 0 })
    },
  },
  {
    id: 'F17',
    title: 'a peer that stops reading, and a peer that reads slowly',
    outageP99Ms: 3_000,
    watchMs: 60_000,
    run: async (context) => {
      const url = memberUrl(context, 0)
      const [stopped, slow] = [await SlowReader.open(url, 'stopped'), await SlowReader.open(url, 'slow')]
      const before = await metric(context, 0, 'process_resident_memory_bytes')
      const cutBefore = await slowConsumers(context)
      const seen = await neighbours(context, () =>
        inject(context, 'F17', 'two peers', async () => {
          stopped.reader.ws.pause()
          slow.readSlowly()
          for (const each of [stopped, slow])
            await until('the sender is told', 30_000, () => each.writer.notices > 0)
          // The node ends it at the second ping after it was far behind [WC4].
          const ms = await until(
            'the peer that reads nothing is closed',
            CUT_WITHIN_MS,
            async () => (await slowConsumers(context)) > cutBefore,
          )
          context.note('the peer that reads nothing was closed after ms', ms, { atMost: CUT_WITHIN_MS })
          // The slow reader then gets two more pings.
          await wait(2 * PING_MS)
        }),
      )
      context.note(
        'growth of the node in megabytes',
        ((await metric(context, 0, 'process_resident_memory_bytes')) - before) / 1e6,
        {
          atMost: 60,
        },
      )
      await heal(context, 'F17', 'two peers', () => stopped.reader.ws.resume())
      await stopped.reader.closed()
      context.note('peers closed for not reading', (await slowConsumers(context)) - cutBefore, {
        atLeast: 1,
        atMost: 1,
      })
      context.note('messages that the slow reader received', slow.reader.received, { atLeast: 100 })
      context.note('connections of the slow reader that ended', slow.reader.closeCode === undefined ? 0 : 1, {
        atMost: 0,
      })
      noteNeighbours(context, seen)
      for (const each of [stopped, slow]) each.end()
    },
  },
  {
    id: 'F18',
    title: 'message, ping, look-up and join floods',
    outageP99Ms: 3_000,
    watchMs: 30_000,
    run: async (context) => {
      const url = memberUrl(context, 0)
      const kinds = ['message', 'ping', 'lookup', 'join'] as const
      type Flood = Record<'codes' | 'answers', Record<string, number>>
      const results: Record<string, Flood> = {}
      const seen = await neighbours(context, () =>
        inject(context, 'F18', 'one node', async () => {
          // These peers run in separate processes, so that the other peers do not wait for this process's event loop.
          const outputs = await Promise.all(
            kinds.map((kind) =>
              run(process.execPath, [FLOODER, url, kind, String(FLOOD_MS)], FLOOD_MS + 20_000),
            ),
          )
          for (const output of outputs) {
            const result: Flood & { kind: string } = JSON.parse(output.split('\n').at(-1) ?? '')
            results[result.kind] = result
          }
        }),
      )
      for (const kind of ['message', 'ping'])
        context.note(`${kind} flood closed as rate-limited`, results[kind]?.codes['4004'] ?? 0, {
          atLeast: 1,
        })
      // A peer over its rate of look-ups is read more slowly, but not closed [WR4].
      const { found = 0, error = 0 } = results['lookup']?.answers ?? {}
      context.note('look-ups refused', error, { atLeast: 1 })
      context.note('answers to look-ups a second', Math.round((found + error) / (FLOOD_MS / 1_000)), {
        atMost: 600,
      })
      context.note('joins of the join flood', results['join']?.codes['1006'] ?? 0)
      noteNeighbours(context, seen)
      await heal(context, 'F18', 'one node', () => {})
    },
  },
  {
    id: 'F19',
    title: '10,000 peers reconnect at once',
    outageP99Ms: 15_000,
    watchMs: 60_000,
    testbed: { args: ['--limits-node-connects-per-second', '0'] },
    run: async (context) => {
      const count = 10_000
      const urls = context.testbed.members.map((_, i) => memberUrl(context, i))
      // It runs in a separate process, because the nodes' connections to Redis pass through this process.
      const crowd = await startChild({ command: process.execPath, args: [CROWD, String(count), ...urls] })
      await crowd.line((line) => (line === 'open' ? true : undefined), 120_000)
      const [first] = context.testbed.members
      if (!first) throw new Error('no member')
      await inject(context, 'F19', 'node 0, with 10,000 peers', () => first.node.kill())
      const told = await crowd.line((line) => (line.startsWith('{') ? line : undefined), 120_000)
      const { back, lastMs, refusals }: { back: number; lastMs: number; refusals: Record<string, number> } =
        JSON.parse(told)
      for (const [why, times] of Object.entries(refusals)) context.note(`failed attempts: ${why}`, times)
      context.note('peers back', back, { atLeast: count })
      context.note('last peer back after ms', lastMs, { atMost: 30_000 })
      for (const member of [1, 2])
        context.note(
          `loop lag p99 of node ${member}, ms`,
          (await metric(context, member, 'nodejs_eventloop_lag_p99_seconds')) * 1_000,
          {
            atMost: 200,
          },
        )
      await heal(context, 'F19', 'node 0', () => first.restart())
    },
  },
]

const SPARE_FDS = 40

export const limitFaults: readonly Fault[] = [
  {
    id: 'F24-fds',
    title: 'a node at its file-descriptor limit',
    outageP99Ms: 5_000,
    watchMs: 15_000,
    run: async (context) => {
      const node = await startNode({
        redisUrl: redisOf(context.testbed).url,
        args: ['--use-as-p2p-server', 'false'],
      })
      try {
        // The limit applies only after the start, because otherwise the process could not read its modules.
        const open = (await readdir(`/proc/${node.pid}/fd`)).length
        await run('prlimit', ['--pid', String(node.pid), `--nofile=${open + SPARE_FDS}:${open + SPARE_FDS}`])
        const peers: RawPeer[] = []
        await inject(context, 'F24-fds', `one node with ${SPARE_FDS} descriptors to spare`, async () => {
          const tries = Array.from({ length: 150 }, (_, i) =>
            RawPeer.open(node.url, `fd-${i}`).then(
              (p) => peers.push(p),
              () => 0,
            ),
          )
          await Promise.race([Promise.all(tries), wait(6_000)])
        })
        context.note('peers that connected', peers.length, { atLeast: 10, atMost: SPARE_FDS + 5 })
        for (const peer of peers) peer.end()
        await heal(context, 'F24-fds', 'one node', () => {})
        context.note(
          'healthy afterwards',
          await until('healthy', 10_000, () =>
            fetch(`${node.url}/healthz`).then(
              (response) => response.ok,
              () => false,
            ),
          ),
          {
            atMost: 10_000,
          },
        )
      } finally {
        await node.stop()
      }
    },
  },
  ...(
    [
      [
        'F24-oom',
        'Redis out of memory',
        ['CONFIG', 'SET', 'maxmemory', '1'],
        ['CONFIG', 'SET', 'maxmemory', '0'],
      ],
      ['F24-readonly', 'Redis read-only', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE']],
      [
        'F24-noreplicas',
        'Redis without the replicas that it requires',
        ['CONFIG', 'SET', 'min-replicas-to-write', '1'],
        ['CONFIG', 'SET', 'min-replicas-to-write', '0'],
      ],
    ] as const
  ).map(([id, title, bad, good]): Fault => ({
    id,
    title,
    outageP99Ms: 12_000,
    watchMs: 15_000,
    run: async (context) => {
      const redis = redisOf(context.testbed)
      await inject(context, id, 'redis', async () => void (await redis.cli(...bad)))
      await wait(500)
      const winners = await race(context, `refused-${context.random.between(0, 1e9)}`)
      context.note('claims granted meanwhile', winners, { atMost: 0 })
      await wait(3_000)
      await heal(context, id, 'redis', async () => void (await redis.cli(...good)))
      const healthy = await Promise.all(context.testbed.members.map(isHealthy))
      context.note('nodes that are healthy', healthy.filter(Boolean).length, {
        atLeast: context.testbed.members.length,
      })
      await until(
        'claims are granted again',
        10_000,
        async () => (await race(context, `again-${context.random.between(0, 1e9)}`)) === 1,
      )
    },
  })),
]
