import { mkdir, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { run } from '@peerage/test-support/process.js'
import { requireKnown, WrongUsage } from '@peerage/test-support/usage.js'
import { attacks, elsewhere, type Attack, type Told } from './attacks.js'
import { Neighbours, type Quality } from './neighbours.js'
import { ACCESS_KEY, redisMemory, rssOf, startStage, type Stage } from './stage.js'

export interface Result {
  id: string
  sends: string
  sent: number
  outcomes: Told['outcomes']
  quiet: Quality
  attacked: Quality
  nodeGrowth: number
  redisGrowth: number
  dead: string[]
  /** What must not have been, other than a late neighbour; empty is good. */
  faults: string[]
  /** Whether the neighbours' p99 stayed in its bound. */
  timely: boolean
  /** What each try came to, attacked by quiet, where one was late and had to be tried again. */
  tries?: number[]
}

const ATTACKER = fileURLToPath(new URL('attacker.mjs', import.meta.url))
/**
 * It stands for a machine of its own: the neighbours shall wait for what the node does with the attack, not for the core
 * that the attack is made on.
 */
const ATTACKER_NICE = 19
/** A process takes so long to start, which is no part of its attack. */
const START_MS = 700
/**
 * By then the code that measures is no longer new to its process, nor to the nodes that of peers; and all processes have
 * tidied up after their start, which on two cores makes every other one wait.
 */
const WARM_MS = 20_000
/** Below this much more, a ratio of two short times says nothing. */
const NOISE_MS = 10
const NODE_GROWTH = 200e6
const REDIS_GROWTH = 64e6

/** Runs each attack for `seconds` on one stage, with a quiet measurement right before it. */
export async function runAttacks(
  chosen: readonly Attack[],
  seconds: number,
  done: (result: Result) => void,
  options: { brief?: boolean } = {},
): Promise<Result[]> {
  const stage = await startStage()
  const neighbours = new Neighbours(stage.urls)
  const results: Result[] = []
  try {
    await neighbours.start()
    if (!options.brief) await wait(WARM_MS)
    for (const attack of chosen) {
      const lasts = options.brief ? seconds : Math.max(seconds, attack.seconds ?? 0)
      const once = (): Promise<Result> => runOne(stage, neighbours, attack, lasts, options.brief === true)
      const first = await once()
      const result = isOnlyLate(first) && !options.brief ? middle([first, await once(), await once()]) : first
      results.push(result)
      done(result)
    }
  } finally {
    await neighbours.stop()
    await stage.stop()
  }
  return results
}

function isOnlyLate({ faults, timely }: Result): boolean {
  return !timely && faults.length === 0
}

/**
 * The p99 of some hundred sends is the latest few of them, and one pause of the machine is as many: of an attack that
 * was late once, the middle of three tries counts. A fault of any of them is one.
 */
function middle(results: Result[]): Result {
  const byRatio = results.toSorted((a, b) => ratioOf(a) - ratioOf(b))
  const [, result = byRatio[0]] = byRatio
  if (result === undefined) throw new Error('nothing was tried')
  return { ...result, faults: results.flatMap(({ faults }) => faults), tries: results.map(ratioOf) }
}

const ratioOf = ({ quiet, attacked }: Result): number => attacked.p99Ms / quiet.p99Ms

async function runOne(
  stage: Stage,
  neighbours: Neighbours,
  attack: Attack,
  seconds: number,
  brief: boolean,
): Promise<Result> {
  await neighbours.settle()
  neighbours.take()
  await wait(brief ? 100 : Math.max(2_000, seconds * 700))
  const quiet = neighbours.take()
  const memory = await watchMemory(stage)
  const told = await attackFor(stage, neighbours, attack, seconds)
  const attacked = neighbours.take()
  const growth = await memory.stop()
  const faults: string[] = []
  if (typeof told === 'string') faults.push(told)
  const { sent, outcomes } = typeof told === 'string' ? { sent: 0, outcomes: {} } : told
  const dead = await stage.revive()
  if (dead.length > 0) faults.push(`ended: ${dead.join(', ')}`)
  const notHealthy = await unhealthy(stage)
  if (notHealthy > 0) faults.push(`${notHealthy} nodes do not answer /healthz`)
  if (growth.node > NODE_GROWTH) faults.push(`node grew by ${mb(growth.node)} MB`)
  if (growth.redis > REDIS_GROWTH) faults.push(`Redis grew by ${mb(growth.redis)} MB`)
  await neighbours.settle()
  if (!(await neighbours.reach())) faults.push('a neighbour does not hear the other')
  if (dead.length === 0 && attacked.failed > 0) faults.push(`${attacked.failed} sends of neighbours failed`)
  for (const fault of [attack.wrong?.({ sent, outcomes }), await attack.after?.(stage)])
    if (fault !== undefined) faults.push(fault)
  return {
    id: attack.id,
    sends: attack.sends,
    sent,
    outcomes,
    quiet,
    attacked,
    nodeGrowth: growth.node,
    redisGrowth: growth.redis,
    dead,
    faults,
    timely: attacked.p99Ms < Math.max(2 * quiet.p99Ms, quiet.p99Ms + NOISE_MS),
  }
}

async function attackFor(
  stage: Stage,
  neighbours: Neighbours,
  attack: Attack,
  seconds: number,
): Promise<Told | string> {
  const channels = await stage.redis.cli('PUBSUB', 'SHARDCHANNELS', 'pg:inbox:*')
  const given = {
    urls: stage.urls,
    victim: neighbours.names[0],
    tlsPort: stage.tlsPort,
    stunPort: stage.stunPort,
    originPort: stage.originPort,
    linkPorts: stage.linkPorts,
    nodeIds: stage.nodes.slice(0, 2).map(({ id }) => id),
    tls: stage.certificates,
    key: ACCESS_KEY,
    redisPort: stage.redis.port,
    channels: channels.split('\n'),
  }
  const startsAt = Date.now() + START_MS
  const args = [ATTACKER, attack.id, startsAt, seconds * 1_000, JSON.stringify(given)].map(String)
  try {
    const running = run(process.execPath, args, seconds * 1_000 + 20_000, { nice: ATTACKER_NICE })
    // What was late until here, the attack did not cause.
    const [output] = await Promise.all([running, wait(START_MS).then(() => neighbours.take())])
    const told: Told = JSON.parse(output.split('\n').at(-1) ?? '')
    return told
  } catch (error) {
    return `the attacker failed: ${String(error).slice(0, 300)}`
  }
}

/** How much more than now is held at most, until it is stopped. */
async function watchMemory(stage: Stage): Promise<{ stop(): Promise<{ node: number; redis: number }> }> {
  const before = { node: await rssOf(stage), redis: await redisMemory(stage) }
  const most = { ...before }
  const watch = { isOver: false }
  const look = async (): Promise<void> => {
    most.node = Math.max(most.node, await rssOf(stage))
    most.redis = Math.max(most.redis, await redisMemory(stage))
  }
  const watching = (async (): Promise<void> => {
    while (!watch.isOver) {
      await look()
      await wait(250)
    }
  })()
  return {
    stop: async () => {
      watch.isOver = true
      await watching
      return { node: most.node - before.node, redis: most.redis - before.redis }
    },
  }
}

async function unhealthy(stage: Stage): Promise<number> {
  const answers = await Promise.all(
    stage.urls.map((url) =>
      fetch(`${url}/healthz`, { signal: AbortSignal.timeout(5_000) }).then(
        ({ ok }) => ok,
        () => false,
      ),
    ),
  )
  return answers.filter((ok) => !ok).length
}

const mb = (bytes: number): string => (bytes / 1e6).toFixed(0)
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const HEADER = [
  '| attack | what was sent | how it ended | neighbours’ p99 ms quiet → attacked (ratio) | node / Redis memory MB | alive | verdict |',
  '|---|---|---|---|---|---|---|',
]

function row(result: Result): string {
  const { quiet, attacked, tries } = result
  const ratio =
    tries === undefined
      ? ratioOf(result).toFixed(1)
      : `the middle of ${tries.map((one) => one.toFixed(1)).join(', ')}`
  const ended = Object.entries(result.outcomes)
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 5)
    .map(([what, times]) => `${what.replaceAll('|', '/').slice(0, 60)} × ${times}`)
  const faults = [...result.faults, ...(result.timely ? [] : ['neighbours are late'])]
  return `| ${[
    result.id,
    `${result.sends}: ${result.sent}`,
    ended.join('; '),
    `${quiet.p99Ms.toFixed(1)} → ${attacked.p99Ms.toFixed(1)} (${ratio})`,
    `${mb(result.nodeGrowth)} / ${mb(result.redisGrowth)}`,
    result.dead.length === 0 ? 'yes' : `no: ${result.dead.join(', ')}`,
    faults.length === 0 ? 'held' : `NOT HELD: ${faults.join('; ').replaceAll('\n', ' ')}`,
  ].join(' | ')} |`
}

export const USAGE = `npm run attack -- [--only NAME,…] [--seconds N]
Attacks two nodes on a real Redis, on loopback only. It prints a table, and writes .work/attack.json.
Held means: the processes live, a node grows by less than ${mb(NODE_GROWTH)} MB and Redis by less than ${mb(REDIS_GROWTH)} MB, no
send of a neighbour fails, and their p99 stays below max(2 × quiet, quiet + ${NOISE_MS} ms). What is late once is tried twice
more, and the middle of the three counts.
Attacks: ${attacks.map(({ id }) => id).join(', ')}`

export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      // A hundredth of less is a moment, as the first one, in which code is new to its process.
      seconds: { type: 'string', default: '10' },
    },
  })
  const ids = values.only?.split(',')
  const unknown = ids?.filter((id) => !attacks.some((one) => one.id === id)) ?? []
  requireKnown(
    'attack',
    unknown,
    attacks.map(({ id }) => id),
  )
  const seconds = Number(values.seconds)
  if (!(seconds > 0 && seconds <= 60))
    throw new WrongUsage(`--seconds is a number up to 60, not "${values.seconds}"`)
  console.log(HEADER.join('\n'))
  const chosen = attacks.filter(({ id }) => ids === undefined || ids.includes(id))
  const results = await runAttacks(chosen, seconds, (result) => console.log(row(result)))
  for (const [what, where] of elsewhere) console.log(`| ${what} | | | | | | ${where} |`)
  await mkdir(`${REPOSITORY}.work`, { recursive: true })
  await writeFile(`${REPOSITORY}.work/attack.json`, `${JSON.stringify(results, undefined, 2)}\n`)
  const held = results.filter(({ faults, timely }) => faults.length === 0 && timely).length
  console.log(`\n${held} of ${results.length} held`)
  return held === results.length ? 0 : 1
}
