import { fileURLToPath } from 'node:url'
import { startChild } from '@peerage/test-support/process.js'
import type { Fault, Context } from '../context.js'
import { TIMES, allOnline, heal, inject, wait } from '../context.js'
import { redisOf } from '../testbed.js'

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

/** The allowed refusals of strangers: the name is taken, or nobody can say now. A holder keeps its name in both cases. */
const ANSWERS = /^refused (name-taken|registry-unavailable|temporary|overloaded|rate-limited)$|^closed 4\d+$/

/** Peers hold names, some are away, and strangers claim all of these names from before `lose` until all has settled. */
async function claimDuring(
  context: Context,
  id: string,
  lose: () => Promise<void>,
  atMost: number,
): Promise<void> {
  const urls = context.testbed.members.map(({ port }) => `http://127.0.0.1:${port}`)
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
    await inject(context, id, 'redis', lose)
    // A node that does not return delays claims until its lease ends. After that it is known who holds each name.
    await wait(TIMES.nodeLease + TIMES.beat)
    await heal(context, id, 'redis', () => {})
    await strangers.kill('SIGTERM')
    const claimed: Claimed = JSON.parse(await strangers.line(json, 10_000))
    await holders.kill('SIGTERM')
    const held: Held = JSON.parse(await holders.line(json, 60_000))
    await allOnline(context)
    context.note('claims by strangers', claimed.tries, { atLeast: NAMES / 3 })
    context.note('names that strangers got', claimed.taken, { atMost })
    context.note('holders that lost their names', held.lost, { atMost })
    context.note('names lost during their grace time', held.awayLost, { atMost })
    context.note('holders online at the end', held.online, { atLeast: NAMES - 2 * atMost })
    context.note('holders whose `since` changed', held.moved, { atMost })
    context.note('epochs that shrank', held.shrunk, { atMost: 0 })
    for (const [what, times] of Object.entries(claimed.told))
      context.note(`strangers: ${what}`, times, ANSWERS.test(what) ? {} : { atMost: 0 })
    for (const [what, times] of Object.entries(held.told)) context.note(`holders: ${what}`, times)
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
    run: (context) =>
      claimDuring(
        context,
        'F27-restart',
        async () => {
          await redisOf(context.testbed).kill()
          await redisOf(context.testbed).restart({ empty: true })
        },
        0,
      ),
  },
  {
    id: 'F27-flush',
    title: 'FLUSHALL while strangers claim 1,500 names',
    outageP99Ms: 10_000,
    watchMs: 30_000,
    // No node knows of the flush until the next beat, so we measure losses but do not judge them.
    run: (context) =>
      claimDuring(
        context,
        'F27-flush',
        async () => void (await redisOf(context.testbed).cli('FLUSHALL')),
        Infinity,
      ),
  },
]
