import { connect, PeerageError } from '@peerage/client'
import type { Random } from '../support/random.js'
import type { History } from './history.js'
import type { Seat, Stage } from './stage.js'
import type { Traffic } from './traffic.js'

export interface Scene {
  stage: Stage
  traffic: Traffic
  history: History
  random: Random
  /** What a fault observed beside the traffic: printed, and checked against its expectation. */
  note(what: string, value: number, expectation?: { atMost?: number; atLeast?: number }): void
}

export interface Fault {
  id: string
  title: string
  /** Outage of a sender at the most, from the injection, p99. */
  outageP99Ms: number
  /** No send may fail, not even with an answer. */
  noFailedSend?: boolean
  /** Injects, waits as long as the fault lasts, and heals. */
  run(scene: Scene): Promise<void>
  /** How long to watch after the injection began: the outage is measured until then. */
  watchMs: number
}

/** The design's table, in milliseconds: what the nodes run with here. */
export const TIMES = { beat: 2_000, nodeLease: 12_000, grace: 30_000, pingBudget: 15_000, deadline: 30_000 }

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function until(
  what: string,
  deadlineMs: number,
  holds: () => Promise<boolean> | boolean,
): Promise<number> {
  const started = performance.now()
  while (performance.now() - started < deadlineMs) {
    if (await holds()) return performance.now() - started
    await wait(25)
  }
  throw new Error(`${what}: not within ${deadlineMs} ms`)
}

async function inject(
  scene: Scene,
  fault: string,
  target: string,
  act: () => Promise<void> | void,
): Promise<void> {
  scene.history.add({ type: 'inject', fault, target })
  await act()
}

async function heal(
  scene: Scene,
  fault: string,
  target: string,
  act: () => Promise<void> | void,
): Promise<void> {
  await act()
  scene.history.add({ type: 'heal', fault, target })
}

async function isReady(seat: Seat): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${seat.port}/readyz`, {
      signal: AbortSignal.timeout(1_000),
    })
    return response.ok
  } catch (error) {
    // Not listening, or stopped: not ready.
    if (error instanceof TypeError || error instanceof DOMException) return false
    throw error
  }
}

async function isHealthy(seat: Seat): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${seat.port}/healthz`, {
    signal: AbortSignal.timeout(2_000),
  })
  return response.ok
}

/** How long until a stranger can claim `name`, from now: polled, so a little late. */
async function untilFree(scene: Scene, name: string, deadlineMs: number): Promise<number> {
  const { url } = scene.stage.haproxy
  return until(`${name} is free`, deadlineMs, async () => {
    try {
      const stranger = await connect(url, { name, storage: null, timeoutMs: 2_000 })
      await stranger.leave()
      return true
    } catch (error) {
      if (error instanceof PeerageError) return false
      throw error
    }
  })
}

/** All names answer a look-up as online, asked through the balancer. */
function allOnline(scene: Scene): Promise<number> {
  const [first] = scene.traffic.actors
  if (!first) throw new Error('nobody is here')
  const names = scene.traffic.actors.map((actor) => actor.name)
  return until('all names are back', 60_000, async () => {
    try {
      const seen = await first.peer.lookup(names)
      return seen.every((one) => one.state === 'online')
    } catch (error) {
      if (error instanceof PeerageError) return false
      throw error
    }
  })
}

const victim = (scene: Scene): Seat => scene.random.pick(scene.stage.seats)

export const faults: readonly Fault[] = [
  {
    id: 'F1',
    title: 'node SIGKILL',
    outageP99Ms: 5_000,
    watchMs: 20_000,
    run: async (scene) => {
      const seat = victim(scene)
      const name = `ghost-${scene.random.between(0, 1e9)}`
      const ghost = await ghostOn(seat, name)
      await inject(scene, 'F1', `node ${seat.index}`, () => seat.node.kill())
      ghost.close()
      const free = untilFree(scene, name, 90_000)
      await wait(1_000)
      await heal(scene, 'F1', `node ${seat.index}`, () => seat.restart())
      const bound = TIMES.nodeLease + TIMES.grace
      scene.note('ghost name free after ms', await free, {
        // The last beat may have been a beat before the kill; the others see the end a beat late.
        atLeast: bound - TIMES.beat - 500,
        atMost: bound + 2 * TIMES.beat + 2_500,
      })
    },
  },
  {
    id: 'F2',
    title: 'node SIGSTOP 30 s, then CONT',
    outageP99Ms: 25_000,
    watchMs: 45_000,
    run: async (scene) => {
      const seat = victim(scene)
      await inject(scene, 'F2', `node ${seat.index}`, () => seat.node.pause())
      await wait(30_000)
      await heal(scene, 'F2', `node ${seat.index}`, () => seat.node.resume())
      scene.note('ready again after ms', await until('ready', 20_000, () => isReady(seat)), { atMost: 8_000 })
    },
  },
  {
    id: 'F3',
    title: 'node SIGTERM',
    outageP99Ms: 5_000,
    noFailedSend: true,
    watchMs: 30_000,
    run: async (scene) => {
      const seat = victim(scene)
      let exit: { code: number | null } = { code: null }
      const started = performance.now()
      await inject(scene, 'F3', `node ${seat.index}`, async () => {
        exit = await seat.node.terminate(30_000)
      })
      scene.note('exit code', exit.code ?? -1, { atMost: 0, atLeast: 0 })
      scene.note('drained in ms', performance.now() - started, { atMost: 20_000 })
      await heal(scene, 'F3', `node ${seat.index}`, () => seat.restart())
    },
  },
  {
    id: 'F4',
    title: 'rolling restart of every node',
    outageP99Ms: 5_000,
    noFailedSend: true,
    watchMs: 90_000,
    run: async (scene) => {
      await inject(scene, 'F4', 'all nodes, one after another', async () => {
        for (const seat of scene.stage.seats) {
          await seat.node.terminate(30_000)
          await seat.restart()
          await scene.stage.haproxy.until(seat.index, 'UP')
        }
      })
      await heal(scene, 'F4', 'all nodes', () => {})
    },
  },
  {
    id: 'F5',
    title: 'Redis SIGKILL, restart empty',
    outageP99Ms: 5_000,
    watchMs: 20_000,
    run: async (scene) => {
      await inject(scene, 'F5', 'redis', () => scene.stage.redis.kill())
      await heal(scene, 'F5', 'redis', () => scene.stage.redis.restart({ empty: true }))
      scene.note('all names back after ms', await allOnline(scene), { atMost: 2_000 })
    },
  },
  {
    id: 'F6',
    title: 'Redis SIGSTOP 10 s',
    outageP99Ms: 14_000,
    watchMs: 25_000,
    run: async (scene) => {
      await inject(scene, 'F6', 'redis', () => scene.stage.redis.pause())
      await wait(1_000)
      const [first] = scene.traffic.actors
      const started = performance.now()
      const answer = await first?.peer.lookup(['somebody-else']).then(
        () => 'found',
        (error: unknown) => (error instanceof PeerageError ? error.code : 'other'),
      )
      scene.note('registry-unavailable said', answer === 'registry-unavailable' ? 1 : 0, { atLeast: 1 })
      scene.note('said within ms', performance.now() - started, { atMost: 1_000 })
      await wait(9_000 - (performance.now() - started))
      await heal(scene, 'F6', 'redis', () => scene.stage.redis.resume())
      scene.note('recovered after CONT ms', await allOnline(scene), { atMost: 4_000 })
    },
  },
  {
    id: 'F7',
    title: 'Redis down 2 min',
    outageP99Ms: 130_000,
    watchMs: 150_000,
    run: async (scene) => {
      const { stage, traffic } = scene
      const pids = stage.seats.map((seat) => seat.node.pid)
      await inject(scene, 'F7', 'redis', () => stage.redis.kill())
      await wait(TIMES.nodeLease + 2_000)
      const pair = localPair(traffic)
      let delivered = 0
      const ends = performance.now() + 120_000 - TIMES.nodeLease - 2_000
      while (performance.now() < ends) {
        const [a, b] = pair
        await a.peer.send(b.name, `local-${scene.history.now()}`, { via: 'server' }).then(
          () => delivered++,
          () => 0,
        )
        await wait(1_000)
      }
      scene.note('local sends delivered while fenced', delivered, { atLeast: 50 })
      const ready = await Promise.all(stage.seats.map(isReady))
      scene.note('nodes that say ready without Redis', ready.filter(Boolean).length, { atMost: 0 })
      const healthy = await Promise.all(stage.seats.map(isHealthy))
      scene.note('nodes that are healthy', healthy.filter(Boolean).length, { atLeast: stage.seats.length })
      await heal(scene, 'F7', 'redis', () => stage.redis.restart({ empty: true }))
      scene.note('all names back after ms', await allOnline(scene), { atMost: 6_000 })
      const same = stage.seats.filter((seat, i) => seat.node.pid === pids[i]).length
      scene.note('processes that lived on', same, { atLeast: stage.seats.length })
    },
  },
  {
    id: 'F11',
    title: 'node cut off from Redis, one direction or both',
    outageP99Ms: 22_000,
    watchMs: 35_000,
    run: async (scene) => {
      const seat = victim(scene)
      const direction = scene.random.pick(['up', 'down', 'both'] as const)
      await inject(scene, 'F11', `node ${seat.index} ${direction}`, () => seat.redisLink.drop(direction))
      scene.note(
        `noticed (${direction}) after ms`,
        await until('not ready', 20_000, async () => !(await isReady(seat))),
        // Fenced at its lease's end at the latest.
        { atMost: TIMES.nodeLease + 1_000 },
      )
      const others = scene.stage.seats.filter((other) => other !== seat)
      const ready = await Promise.all(others.map(isReady))
      scene.note('other nodes still ready', ready.filter(Boolean).length, { atLeast: others.length })
      await wait(5_000)
      await heal(scene, 'F11', `node ${seat.index}`, () => seat.redisLink.heal())
      scene.note('ready again after ms', await until('ready', 30_000, () => isReady(seat)), {
        atMost: 10_000,
      })
    },
  },
  {
    id: 'F12',
    title: 'TCP resets between peers, nodes and Redis',
    outageP99Ms: 15_000,
    watchMs: 30_000,
    run: async (scene) => {
      const { peerLink, seats } = scene.stage
      const stops: (() => void)[] = []
      await inject(scene, 'F12', 'every link', () => {
        stops.push(peerLink.resetRandomly(3_000))
        for (const seat of seats) stops.push(seat.redisLink.resetRandomly(3_000))
      })
      await wait(12_000)
      await heal(scene, 'F12', 'every link', () => {
        for (const stop of stops) stop()
      })
    },
  },
  {
    id: 'F13',
    title: 'Redis drops the subscriber (CLIENT KILL TYPE pubsub)',
    outageP99Ms: 5_000,
    watchMs: 15_000,
    run: async (scene) => {
      let killed = 0
      await inject(scene, 'F13', 'redis', async () => {
        killed = Number(await scene.stage.redis.cli('CLIENT', 'KILL', 'TYPE', 'pubsub'))
      })
      scene.note('subscribers killed', killed, { atLeast: scene.stage.seats.length })
      await wait(3_000)
      await heal(scene, 'F13', 'redis', () => {})
    },
  },
  {
    id: 'F15',
    title: 'half-open client: its packets vanish, no FIN',
    outageP99Ms: 25_000,
    watchMs: 45_000,
    run: async (scene) => {
      await inject(scene, 'F15', 'peer link', () => scene.stage.peerLink.drop('both'))
      await wait(TIMES.pingBudget + 4_000)
      await heal(scene, 'F15', 'peer link', () => scene.stage.peerLink.heal())
    },
  },
  {
    id: 'F21',
    title: 'the same name claimed on all nodes at once',
    outageP99Ms: 3_000,
    watchMs: 15_000,
    run: async (scene) => {
      const rounds = 60
      let single = 0
      await inject(scene, 'F21', `${rounds} names`, async () => {
        for (let i = 0; i < rounds; i++)
          if ((await race(scene, `contested-${scene.random.between(0, 1e9)}`)) === 1) single++
      })
      scene.note('names with exactly one winner', single, { atLeast: rounds })
      await heal(scene, 'F21', 'names', () => {})
    },
  },
  {
    id: 'F23',
    title: 'malformed bus messages',
    outageP99Ms: 3_000,
    watchMs: 10_000,
    run: async (scene) => {
      const { redis, seats } = scene.stage
      await inject(scene, 'F23', 'every inbox', async () => {
        const channels = (await redis.cli('PUBSUB', 'SHARDCHANNELS', '*'))
          .split('\n')
          .filter((one) => one.length > 0)
        const junk = [
          '',
          '{',
          'null',
          '[]',
          '\u0000\u0001\u0002',
          '9'.repeat(100_000),
          '{"type":"deliver"}',
          '5:abc',
        ]
        for (const channel of channels) for (const text of junk) await redis.cli('SPUBLISH', channel, text)
        scene.note('channels poisoned', channels.length, { atLeast: seats.length })
      })
      await wait(500)
      const healthy = await Promise.all(seats.map(isHealthy))
      scene.note('nodes that are healthy', healthy.filter(Boolean).length, { atLeast: seats.length })
      await heal(scene, 'F23', 'every inbox', () => {})
    },
  },
]

async function ghostOn(seat: Seat, name: string): Promise<{ close(): void }> {
  return connect(`http://127.0.0.1:${seat.port}`, { name, storage: null })
}

function localPair(traffic: Traffic): [Traffic['actors'][number], Traffic['actors'][number]] {
  for (const a of traffic.actors)
    for (const b of traffic.actors) if (a !== b && a.node !== undefined && a.node === b.node) return [a, b]
  throw new Error('no two peers are on one node')
}

/** Three applications with secrets of their own claim one name at the same time: how many got it. */
async function race(scene: Scene, name: string): Promise<number> {
  const tries = await Promise.all(
    scene.stage.seats.map((seat) =>
      connect(`http://127.0.0.1:${seat.port}`, { name, storage: null, timeoutMs: 5_000 }).then(
        (peer) => peer,
        (error: unknown) => {
          if (error instanceof PeerageError) return undefined
          throw error
        },
      ),
    ),
  )
  const winners = tries.filter((peer) => peer !== undefined)
  for (const [i, peer] of winners.entries())
    scene.history.add({ type: 'holds', name, who: `${name}-${i}`, since: peer.since })
  for (const [i, peer] of winners.entries()) {
    scene.history.add({ type: 'lost', name, who: `${name}-${i}` })
    await peer.leave()
  }
  return winners.length
}
