import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { run, startChild } from '@peerage/test-support/process.js'
import { percentile } from '../checker.js'
import { metricsOf } from '../links.js'
import { RawPeer } from '../raw-peer.js'
import type { Fault, Scene } from '../scene.js'
import { heal, inject, isHealthy, race, until, wait } from '../scene.js'
import { startNode } from '@peerage/test-support/node.js'
import { redisOf } from '../stage.js'

const FLOODER = fileURLToPath(new URL('../flooder.mjs', import.meta.url))
const CROWD = fileURLToPath(new URL('../crowd.mjs', import.meta.url))
const FLOOD_MS = 8_000

/** How long the deliveries took that were asked for and settled within a window. */
function latencies(scene: Scene, from: number, until: number): number[] {
  const asked = new Map<string, number>()
  const taken: number[] = []
  for (const event of scene.history.events) {
    if (event.at < from || event.at > until) continue
    if (event.type === 'send') asked.set(event.id, event.at)
    if (event.type === 'settled' && event.outcome === 'delivered') {
      const at = asked.get(event.id)
      if (at !== undefined) taken.push(event.at - at)
    }
  }
  return taken
}

/** What the neighbours' slowest deliveries took, during against before. */
async function neighbours(
  scene: Scene,
  act: () => Promise<void>,
): Promise<{ beforeMs: number; duringMs: number }> {
  const from = scene.history.now()
  await wait(6_000)
  const began = scene.history.now()
  await act()
  await wait(1_000)
  return {
    beforeMs: percentile(latencies(scene, from, began), 0.99),
    duringMs: percentile(latencies(scene, began, scene.history.now()), 0.99),
  }
}

/** Below this a p99 is the machine's noise, and a ratio of two of them says nothing. */
const NOISE_MS = 60

function noteNeighbours(scene: Scene, { beforeMs, duringMs }: { beforeMs: number; duringMs: number }): void {
  scene.note('neighbours p99 before, ms', beforeMs)
  scene.note('neighbours p99 during, ms', duringMs, { atMost: 2 * Math.max(beforeMs, NOISE_MS) })
}

function seatUrl(scene: Scene, index: number): string {
  return `http://127.0.0.1:${scene.stage.seats[index]?.port ?? 0}`
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

async function metric(scene: Scene, index: number, name: string): Promise<number> {
  const seat = scene.stage.seats[index]
  if (!seat) throw new Error(`the stage has no node ${index}`)
  return (await metricsOf(seat))(name)
}

const slowConsumers = (scene: Scene): Promise<number> =>
  metric(scene, 0, 'peerage_slow_consumer_closes_total')

/** The default of `times.pingIntervalMs`. */
const PING_MS = 10_000
/** Far behind after some seconds, then two pings, and patience for a busy machine. */
const CUT_WITHIN_MS = 3 * PING_MS + 10_000

/** A peer that falls behind, and one that writes to it, below the limits of its own: it is the reader that is judged. */
class Hindmost {
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
    // It is heard, as one that acknowledges is: it shall not be taken for dead, for its pongs are late.
    this.#every(2_000, () => {
      if (reader.closeCode === undefined) reader.send('lookup', { id: 1, names: [reader.name] })
    })
  }

  static async open(url: string, name: string): Promise<Hindmost> {
    const [reader, writer] = [await RawPeer.open(url, name), await RawPeer.open(url, `${name}-writer`)]
    return new Hindmost(reader, writer, await lookupSince(writer, name))
  }

  /** Some 64 KB, then a pause: a quarter of what it is sent. */
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
    title: "balancer's idle timeout 30 s: five idle minutes",
    stage: { balancer: { PEERAGE_TUNNEL_TIMEOUT: '30s' } },
    idle: true,
    outageP99Ms: 1_000,
    watchMs: 301_000,
    run: async (scene) => {
      const from = scene.history.now()
      await inject(scene, 'F16', 'nothing, for 300 s', () => wait(300_000))
      const drops = scene.history.events.filter((event) => event.type === 'lost' && event.at > from).length
      scene.note('connections dropped', drops, { atMost: 0 })
    },
  },
  {
    id: 'F17',
    title: 'a peer that stops reading, and one that reads slowly',
    outageP99Ms: 3_000,
    watchMs: 60_000,
    run: async (scene) => {
      const url = seatUrl(scene, 0)
      const [stopped, slow] = [await Hindmost.open(url, 'stopped'), await Hindmost.open(url, 'slow')]
      const before = await metric(scene, 0, 'process_resident_memory_bytes')
      const cutBefore = await slowConsumers(scene)
      const seen = await neighbours(scene, () =>
        inject(scene, 'F17', 'two peers', async () => {
          stopped.reader.ws.pause()
          slow.readSlowly()
          for (const each of [stopped, slow])
            await until('the sender is told', 30_000, () => each.writer.notices > 0)
          // By the second ping since it was far behind [WC4].
          const ms = await until(
            'who reads nothing is cut',
            CUT_WITHIN_MS,
            async () => (await slowConsumers(scene)) > cutBefore,
          )
          scene.note('who reads nothing was cut after ms', ms, { atMost: CUT_WITHIN_MS })
          // Who reads slowly has two pings of its own after that.
          await wait(2 * PING_MS)
        }),
      )
      scene.note(
        'megabytes more in the node',
        ((await metric(scene, 0, 'process_resident_memory_bytes')) - before) / 1e6,
        {
          atMost: 60,
        },
      )
      await heal(scene, 'F17', 'two peers', () => stopped.reader.ws.resume())
      await stopped.reader.closed()
      scene.note('cut for not reading, peers', (await slowConsumers(scene)) - cutBefore, {
        atLeast: 1,
        atMost: 1,
      })
      scene.note('messages that the slow one has read', slow.reader.received, { atLeast: 100 })
      scene.note('connections of the slow one that ended', slow.reader.closeCode === undefined ? 0 : 1, {
        atMost: 0,
      })
      noteNeighbours(scene, seen)
      for (const each of [stopped, slow]) each.end()
    },
  },
  {
    id: 'F18',
    title: 'message, ping, look-up and join floods',
    outageP99Ms: 3_000,
    watchMs: 30_000,
    run: async (scene) => {
      const url = seatUrl(scene, 0)
      const kinds = ['message', 'ping', 'lookup', 'join'] as const
      type Flood = Record<'codes' | 'answers', Record<string, number>>
      const results: Record<string, Flood> = {}
      const seen = await neighbours(scene, () =>
        inject(scene, 'F18', 'one node', async () => {
          // In processes of their own: else it would be this process's loop that the neighbours wait for.
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
        scene.note(`${kind} flood closed as rate-limited, times`, results[kind]?.codes['4004'] ?? 0, {
          atLeast: 1,
        })
      // Who asks over its rate is read slowly, and not closed [WR4].
      const { found = 0, error = 0 } = results['lookup']?.answers ?? {}
      scene.note('look-ups refused', error, { atLeast: 1 })
      scene.note('answers to look-ups a second', Math.round((found + error) / (FLOOD_MS / 1_000)), {
        atMost: 600,
      })
      scene.note('joins of the join flood', results['join']?.codes['1006'] ?? 0)
      noteNeighbours(scene, seen)
      await heal(scene, 'F18', 'one node', () => {})
    },
  },
  {
    id: 'F19',
    title: '10,000 peers reconnect at once',
    outageP99Ms: 15_000,
    watchMs: 60_000,
    stage: { args: ['--limits-node-connects-per-second', '0'] },
    run: async (scene) => {
      const count = 10_000
      const urls = scene.stage.seats.map((_, i) => seatUrl(scene, i))
      // In a process of its own: the nodes' ways to Redis lead through this one.
      const crowd = await startChild({ command: process.execPath, args: [CROWD, String(count), ...urls] })
      await crowd.line((line) => (line === 'open' ? true : undefined), 120_000)
      const [first] = scene.stage.seats
      if (!first) throw new Error('no seat')
      await inject(scene, 'F19', 'node 0, with 10,000 peers', () => first.node.kill())
      const told = await crowd.line((line) => (line.startsWith('{') ? line : undefined), 120_000)
      const { back, lastMs, refusals }: { back: number; lastMs: number; refusals: Record<string, number> } =
        JSON.parse(told)
      for (const [why, times] of Object.entries(refusals)) scene.note(`tries that failed: ${why}`, times)
      scene.note('peers back', back, { atLeast: count })
      scene.note('last one back after ms', lastMs, { atMost: 30_000 })
      for (const seat of [1, 2])
        scene.note(
          `loop lag p99 of node ${seat}, ms`,
          (await metric(scene, seat, 'nodejs_eventloop_lag_p99_seconds')) * 1_000,
          {
            atMost: 200,
          },
        )
      await heal(scene, 'F19', 'node 0', () => first.restart())
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
    run: async (scene) => {
      const node = await startNode({
        redisUrl: redisOf(scene.stage).url,
        args: ['--use-as-p2p-server', 'false'],
      })
      try {
        // Not from its start: it could not even read its modules.
        const open = (await readdir(`/proc/${node.pid}/fd`)).length
        await run('prlimit', ['--pid', String(node.pid), `--nofile=${open + SPARE_FDS}:${open + SPARE_FDS}`])
        const peers: RawPeer[] = []
        await inject(scene, 'F24-fds', `one node with ${SPARE_FDS} descriptors to spare`, async () => {
          const tries = Array.from({ length: 150 }, (_, i) =>
            RawPeer.open(node.url, `fd-${i}`).then(
              (p) => peers.push(p),
              () => 0,
            ),
          )
          await Promise.race([Promise.all(tries), wait(6_000)])
        })
        scene.note('peers that came in', peers.length, { atLeast: 10, atMost: SPARE_FDS + 5 })
        for (const peer of peers) peer.end()
        await heal(scene, 'F24-fds', 'one node', () => {})
        scene.note(
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
        'Redis without the replicas that it wants',
        ['CONFIG', 'SET', 'min-replicas-to-write', '1'],
        ['CONFIG', 'SET', 'min-replicas-to-write', '0'],
      ],
    ] as const
  ).map(([id, title, bad, good]): Fault => ({
    id,
    title,
    outageP99Ms: 12_000,
    watchMs: 15_000,
    run: async (scene) => {
      const redis = redisOf(scene.stage)
      await inject(scene, id, 'redis', async () => void (await redis.cli(...bad)))
      await wait(500)
      const winners = await race(scene, `refused-${scene.random.between(0, 1e9)}`)
      scene.note('claims taken meanwhile', winners, { atMost: 0 })
      await wait(3_000)
      await heal(scene, id, 'redis', async () => void (await redis.cli(...good)))
      const healthy = await Promise.all(scene.stage.seats.map(isHealthy))
      scene.note('nodes that are healthy', healthy.filter(Boolean).length, {
        atLeast: scene.stage.seats.length,
      })
      await until(
        'claims are taken again',
        10_000,
        async () => (await race(scene, `again-${scene.random.between(0, 1e9)}`)) === 1,
      )
    },
  })),
]
