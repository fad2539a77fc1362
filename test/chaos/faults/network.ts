import type { Fault } from '../context.js'
import { TIMES, heal, inject, isReady, until, victim, wait } from '../context.js'
import { redisProxyOf } from '../testbed.js'
import { lose, loseNothing } from './loss.js'

const LOSS_MS = 8_000
export const networkFaults: readonly Fault[] = [
  {
    id: 'F11',
    title: 'node cut off from Redis, one direction or both',
    outageP99Ms: 22_000,
    watchMs: 35_000,
    run: async (context) => {
      const member = victim(context)
      const direction = context.random.pick(['up', 'down', 'both'] as const)
      await inject(context, 'F11', `node ${member.index} ${direction}`, () =>
        redisProxyOf(member).drop(direction),
      )
      context.note(
        `noticed (${direction}) after ms`,
        await until('not ready', 20_000, async () => !(await isReady(member))),
        // The node is fenced at the latest when its lease ends.
        { atMost: TIMES.nodeLease + 1_000 },
      )
      const others = context.testbed.members.filter((other) => other !== member)
      const ready = await Promise.all(others.map(isReady))
      context.note('other nodes still ready', ready.filter(Boolean).length, { atLeast: others.length })
      await wait(5_000)
      await heal(context, 'F11', `node ${member.index}`, () => redisProxyOf(member).heal())
      context.note('ready again after ms', await until('ready', 30_000, () => isReady(member)), {
        atMost: 10_000,
      })
    },
  },
  {
    id: 'F12',
    title: '30 % random loss, then TCP resets, between peers, nodes and Redis, and between nodes',
    outageP99Ms: 15_000,
    watchMs: 30_000,
    run: async (context) => {
      const { peerProxy, members } = context.testbed
      const stops: (() => void)[] = []
      const linkProxies = members.flatMap(({ linkProxy }) => linkProxy ?? [])
      const bad = [peerProxy, ...members.map(redisProxyOf), ...linkProxies]
      const ports = bad.map(({ port }) => port)
      await inject(context, 'F12', 'every link, loss', () => lose(ports, 30))
      await wait(LOSS_MS)
      await heal(context, 'F12', 'every link, loss', () => loseNothing())
      await inject(context, 'F12', 'every link, resets', () => {
        for (const one of bad) stops.push(one.resetRandomly(3_000))
      })
      await wait(12_000)
      await heal(context, 'F12', 'every link', () => {
        for (const stop of stops) stop()
      })
    },
  },
  {
    id: 'F15',
    title: 'half-open connection of a peer: its packets are lost, no FIN',
    outageP99Ms: 25_000,
    watchMs: 45_000,
    run: async (context) => {
      await inject(context, 'F15', 'peer link', () => context.testbed.peerProxy.drop('both'))
      await wait(TIMES.pingBudget + 4_000)
      await heal(context, 'F15', 'peer link', () => context.testbed.peerProxy.heal())
    },
  },
]
