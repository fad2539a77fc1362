import type { Fault } from '../scene.js'
import { TIMES, heal, inject, isReady, until, victim, wait } from '../scene.js'
import { linkOf } from '../stage.js'
import { lose, loseNothing } from './loss.js'

const LOSS_MS = 8_000
export const networkFaults: readonly Fault[] = [
  {
    id: 'F11',
    title: 'node cut off from Redis, one direction or both',
    outageP99Ms: 22_000,
    watchMs: 35_000,
    run: async (scene) => {
      const seat = victim(scene)
      const direction = scene.random.pick(['up', 'down', 'both'] as const)
      await inject(scene, 'F11', `node ${seat.index} ${direction}`, () => linkOf(seat).drop(direction))
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
      await heal(scene, 'F11', `node ${seat.index}`, () => linkOf(seat).heal())
      scene.note('ready again after ms', await until('ready', 30_000, () => isReady(seat)), {
        atMost: 10_000,
      })
    },
  },
  {
    id: 'F12',
    title: '30 % random loss, then TCP resets, between peers, nodes and Redis, and between nodes',
    outageP99Ms: 15_000,
    watchMs: 30_000,
    run: async (scene) => {
      const { peerLink, seats } = scene.stage
      const stops: (() => void)[] = []
      const doors = seats.flatMap(({ door }) => door ?? [])
      const bad = [peerLink, ...seats.map(linkOf), ...doors]
      const ports = bad.map(({ port }) => port)
      await inject(scene, 'F12', 'every link, loss', () => lose(ports, 30))
      await wait(LOSS_MS)
      await heal(scene, 'F12', 'every link, loss', () => loseNothing())
      await inject(scene, 'F12', 'every link, resets', () => {
        for (const one of bad) stops.push(one.resetRandomly(3_000))
      })
      await wait(12_000)
      await heal(scene, 'F12', 'every link', () => {
        for (const stop of stops) stop()
      })
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
]
