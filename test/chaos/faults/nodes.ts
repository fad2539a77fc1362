import { readLinks, untilLinked } from '../links.js'
import type { Fault } from '../scene.js'
import { TIMES, ghostOn, heal, inject, isReady, race, until, untilFree, victim, wait } from '../scene.js'

export const nodeFaults: readonly Fault[] = [
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
  ...([true, false] as const).map((links): Fault => ({
    id: links ? 'F4-links' : 'F4-inbox',
    title: `rolling restart of every node, ${links ? 'with links' : 'without links'}`,
    links,
    outageP99Ms: 5_000,
    noFailedSend: true,
    watchMs: 90_000,
    run: async (scene) => {
      const { stage } = scene
      await inject(scene, 'F4', 'all nodes, one after another', async () => {
        for (const seat of stage.seats) {
          await seat.node.terminate(30_000)
          await seat.restart()
          await stage.haproxy.until(seat.index, 'UP')
        }
      })
      await heal(scene, 'F4', 'all nodes', () => {})
      if (links) scene.note('new nodes linked after ms', await untilLinked(stage), { atMost: 20_000 })
      else scene.note('envelopes over links', (await readLinks(stage.seats)).link, { atMost: 0 })
    },
  })),
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
    id: 'F20',
    title: 'clocks an hour apart',
    outageP99Ms: 5_000,
    watchMs: 30_000,
    clockOffsets: ['+1h', '-1h', '+0s'],
    run: async (scene) => {
      const rounds = 30
      let single = 0
      await inject(scene, 'F20', 'nodes at +1 h, -1 h and true time', async () => {
        for (let i = 0; i < rounds; i++)
          if ((await race(scene, `skewed-${scene.random.between(0, 1e9)}`)) === 1) single++
      })
      scene.note('names with exactly one winner', single, { atLeast: rounds })
      const seat = victim(scene)
      const others = scene.traffic.actors.map((actor) => actor.name)
      await seat.node.kill()
      await seat.restart()
      scene.note('names after a node died', others.length, { atLeast: others.length })
      await heal(scene, 'F20', 'nodes', () => {})
    },
  },
]
