import { readLinks } from '../links.js'
import type { Fault } from '../context.js'
import { TIMES, claimOn, heal, inject, isReady, race, until, untilFree, victim, wait } from '../context.js'

export const nodeFaults: readonly Fault[] = [
  {
    id: 'F1',
    title: 'node SIGKILL',
    outageP99Ms: 5_000,
    watchMs: 20_000,
    run: async (context) => {
      const member = victim(context)
      const name = `ghost-${context.random.between(0, 1e9)}`
      const ghost = await claimOn(member, name)
      await inject(context, 'F1', `node ${member.index}`, () => member.node.kill())
      ghost.close()
      const free = untilFree(context, name, 90_000)
      await wait(1_000)
      await heal(context, 'F1', `node ${member.index}`, () => member.restart())
      const bound = TIMES.nodeLease + TIMES.grace
      context.note('ghost name free after ms', await free, {
        // The last beat may have been a beat before the kill, and the others notice the end a beat late.
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
    run: async (context) => {
      const member = victim(context)
      await inject(context, 'F2', `node ${member.index}`, () => member.node.pause())
      await wait(30_000)
      await heal(context, 'F2', `node ${member.index}`, () => member.node.resume())
      context.note('ready again after ms', await until('ready', 20_000, () => isReady(member)), {
        atMost: 8_000,
      })
    },
  },
  {
    id: 'F3',
    title: 'node SIGTERM',
    outageP99Ms: 5_000,
    noFailedSend: true,
    watchMs: 30_000,
    run: async (context) => {
      const member = victim(context)
      let exit: { code: number | null } = { code: null }
      const started = performance.now()
      await inject(context, 'F3', `node ${member.index}`, async () => {
        exit = await member.node.terminate(30_000)
      })
      context.note('exit code', exit.code ?? -1, { atMost: 0, atLeast: 0 })
      context.note('drained in ms', performance.now() - started, { atMost: 20_000 })
      await heal(context, 'F3', `node ${member.index}`, () => member.restart())
    },
  },
  ...[true, false].map((links): Fault => ({
    id: links ? 'F4-links' : 'F4-inbox',
    title: `rolling restart of every node, ${links ? 'with links' : 'without links'}`,
    links,
    outageP99Ms: 5_000,
    noFailedSend: true,
    watchMs: 90_000,
    run: async (context) => {
      const { testbed } = context
      await inject(context, 'F4', 'all nodes, one after another', async () => {
        for (const member of testbed.members) {
          await member.node.terminate(30_000)
          await member.restart()
          await testbed.haproxy.until(member.index, 'UP')
        }
      })
      await heal(context, 'F4', 'all nodes', () => {})
      // The last node gets peers only when another node goes.
      const { up, link } = await readLinks(testbed.members)
      if (links) context.note('links of the new nodes', up, { atLeast: 2 })
      context.note('envelopes of the new nodes over links', link, links ? { atLeast: 100 } : { atMost: 0 })
    },
  })),
  {
    id: 'F21',
    title: 'the same name claimed on all nodes at once',
    outageP99Ms: 3_000,
    watchMs: 15_000,
    run: async (context) => {
      const rounds = 60
      let single = 0
      await inject(context, 'F21', `${rounds} names`, async () => {
        for (let i = 0; i < rounds; i++)
          if ((await race(context, `contested-${context.random.between(0, 1e9)}`)) === 1) single++
      })
      context.note('names with exactly one winner', single, { atLeast: rounds })
      await heal(context, 'F21', 'names', () => {})
    },
  },
  {
    id: 'F20',
    title: 'clocks an hour apart',
    outageP99Ms: 5_000,
    watchMs: 30_000,
    clockOffsets: ['+1h', '-1h', '+0s'],
    run: async (context) => {
      const rounds = 30
      let single = 0
      await inject(context, 'F20', 'nodes at +1 h, -1 h and true time', async () => {
        for (let i = 0; i < rounds; i++)
          if ((await race(context, `skewed-${context.random.between(0, 1e9)}`)) === 1) single++
      })
      context.note('names with exactly one winner', single, { atLeast: rounds })
      const member = victim(context)
      const others = context.traffic.actors.map((actor) => actor.name)
      await member.node.kill()
      await member.restart()
      context.note('names after a node died', others.length, { atLeast: others.length })
      await heal(context, 'F20', 'nodes', () => {})
    },
  },
]
