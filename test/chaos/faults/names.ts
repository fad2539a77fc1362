import { fileURLToPath } from 'node:url'
import { startChild } from '@peerage/test-support/process.js'
import type { Fault, Scene } from '../scene.js'
import { TIMES, allOnline, heal, inject, wait } from '../scene.js'
import { redisOf } from '../stage.js'

const CROWD = fileURLToPath(new URL('../names-crowd.mjs', import.meta.url))
const NAMES = 1_500

interface Held {
  lost: number
  awayLost: number
  moved: number
  shrunk: number
  online: number
  told: Record<string, number>
}

interface Claimed {
  taken: number
  tries: number
  told: Record<string, number>
}

/** How strangers may be answered: the name is taken, or nobody can say now. Neither costs a holder its name. */
const ANSWERS = /^refused (name-taken|registry-unavailable|temporary|overloaded|rate-limited)$|^closed 4\d+$/

/** Peers hold names, some are away, and strangers claim all of them from before `lose` until all has settled. */
async function claimDuring(
  scene: Scene,
  id: string,
  lose: () => Promise<void>,
  atMost: number,
): Promise<void> {
  const urls = scene.stage.seats.map(({ port }) => `http://127.0.0.1:${port}`)
  const start = (role: string) =>
    startChild({ command: process.execPath, args: [CROWD, role, String(NAMES), ...urls] })
  const isOpen = (line: string): true | undefined => (line === 'open' ? true : undefined)
  const json = (line: string): string | undefined => (line.startsWith('{') ? line : undefined)
  const holders = await start('hold')
  await holders.line(isOpen, 60_000)
  const strangers = await start('claim')
  await strangers.line(isOpen, 10_000)
  try {
    await wait(1_000)
    await holders.kill('SIGUSR2')
    await wait(1_000)
    await inject(scene, id, 'redis', lose)
    // A node that never returns holds claims up for its lease; afterwards nothing is in doubt.
    await wait(TIMES.nodeLease + TIMES.beat)
    await heal(scene, id, 'redis', () => {})
    await strangers.kill('SIGTERM')
    const claimed: Claimed = JSON.parse(await strangers.line(json, 10_000))
    await holders.kill('SIGTERM')
    const held: Held = JSON.parse(await holders.line(json, 60_000))
    await allOnline(scene)
    scene.note('claims by strangers', claimed.tries, { atLeast: NAMES / 3 })
    scene.note('names that strangers got', claimed.taken, { atMost })
    scene.note('holders who lost their names', held.lost, { atMost })
    scene.note('names lost in their grace', held.awayLost, { atMost })
    scene.note('holders online at the end', held.online, { atLeast: NAMES - 2 * atMost })
    scene.note('holders with another since', held.moved, { atMost })
    scene.note('epochs that shrank', held.shrunk, { atMost: 0 })
    for (const [what, times] of Object.entries(claimed.told))
      scene.note(`strangers: ${what}`, times, ANSWERS.test(what) ? {} : { atMost: 0 })
    for (const [what, times] of Object.entries(held.told)) scene.note(`holders: ${what}`, times)
  } finally {
    await strangers.stop()
    await holders.stop()
  }
}

export const nameFaults: readonly Fault[] = [
  {
    id: 'F27-restart',
    title: 'Redis restarts empty while strangers claim 1,500 names',
    outageP99Ms: 10_000,
    watchMs: 30_000,
    run: (scene) =>
      claimDuring(
        scene,
        'F27-restart',
        async () => {
          await redisOf(scene.stage).kill()
          await redisOf(scene.stage).restart({ empty: true })
        },
        0,
      ),
  },
  {
    id: 'F27-flush',
    title: 'FLUSHALL while strangers claim 1,500 names',
    outageP99Ms: 10_000,
    watchMs: 30_000,
    // Until the next beat nobody knows of the flush: what is lost is measured, and not judged.
    run: (scene) =>
      claimDuring(
        scene,
        'F27-flush',
        async () => void (await redisOf(scene.stage).cli('FLUSHALL')),
        Infinity,
      ),
  },
]
