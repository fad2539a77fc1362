import { parseArgs } from 'node:util'
import { clockOffset } from '@peerage/test-support/faketime.js'
import { seeded } from '@peerage/test-support/random.js'
import { requireKnown, wholeNumber } from '@peerage/test-support/usage.js'
import { check, isClean, outages, percentile, type Verdict } from './checker.js'
import { whyNoEngine, type Engine, type OwnedEngine } from '../containers/engine.js'
import { startPreparedEngine } from '../containers/prepare.js'
import { startTestbed as startContainers, type ContainerTestbed } from '../containers/testbed.js'
import { containerFaults, type ContainerFault } from './faults/containers.js'
import { faults, pick, type AnyFault } from './faults/index.js'
import { History } from './history.js'
import { noteLinked, type Metered } from './links.js'
import type { Fault, Context } from './context.js'
import { startTestbed, type Testbed } from './testbed.js'
import { Traffic } from './traffic.js'

export interface ChaosOptions {
  /** An odd seed links the nodes to each other, except for faults that are about one of the two paths. */
  seed: number
  faults: readonly string[]
  /** How often each fault is injected. */
  times: number
  peers: number
  /** For faults of containers: an engine with the stand-ins and our image. */
  engine?: Engine
  log: (line: string) => void
}

export interface ClassResult {
  fault: Pick<AnyFault, 'id' | 'title' | 'outageP99Ms'>
  injected: number
  outagesMs: number[]
  failedSends: number
  /** The SDK's codes of the failures, and how many of each. */
  failures: Record<string, number>
  notes: { what: string; value: number; ok: boolean }[]
  verdict: Verdict
  met: boolean
}

const NODES = 3
/** The third number of the first container fault's addresses, 10.89.x. */
const FIRST_SUBNET = 60
/** The share of peers that connect through the proxy that can be disturbed. */
const PROXIED_SHARE = 0.34
const DEADLINE_MS = 30_000
/** A former holder learns of its successor over the bus, or at its next renewal if that message is lost. */
const OVERLAP_MS = 1_000

/** Injects each fault under continuous traffic. Each has its own testbed and history. */
export async function runChaos(options: ChaosOptions): Promise<ClassResult[]> {
  const random = seeded(options.seed)
  const wanted = chosen(options.faults)
  options.log(`seed ${options.seed}: the same seed gives the same schedule`)
  const results: ClassResult[] = []
  for (const fault of wanted) {
    const result = await runClass(fault, options, random.between(0, 2 ** 31)).catch((error: unknown) => {
      options.log(`${fault.id} did not come to its end: ${String(error)}`)
      return unfinished(fault)
    })
    results.push(result)
    options.log(line(result))
    if (result.failedSends > 0) options.log(`    failed sends: ${JSON.stringify(result.failures)}`)
    for (const note of result.notes)
      options.log(`    ${note.ok ? 'ok ' : 'NOT'} ${note.what}: ${Math.round(note.value)}`)
  }
  return results
}

/** The faults with these ids. Throws a WRONG_USAGE error if there is an id that none has. */
function chosen(ids: readonly string[]): AnyFault[] {
  const { found, unknown } = pick(ids)
  requireKnown(
    'fault',
    unknown,
    faults.map(({ id }) => id),
  )
  return found
}

/** The result of a class that an error ended. */
function unfinished(fault: AnyFault): ClassResult {
  const verdict = check([], { overlapMs: 0, endMs: 0, deadlineMs: 0 })
  return { fault, injected: 0, outagesMs: [], failedSends: 0, failures: {}, notes: [], verdict, met: false }
}

/** What the traffic runs on: processes or containers. */
interface Stage<T> {
  testbed: T
  /** The URL through which a peer connects, counted from 0. */
  urlOf(peer: number): string
  nodes: readonly Metered[]
  /** The nodes are linked when the fault begins. */
  linked: boolean
  stop(): Promise<void>
}

async function runClass(fault: AnyFault, options: ChaosOptions, seed: number): Promise<ClassResult> {
  const links = fault.links ?? options.seed % 2 === 1
  options.log(`${fault.id} ${fault.title} (seed ${seed}, ${links ? 'with' : 'without'} links)`)
  return 'contained' in fault
    ? play(fault, options, seed, await containers(fault, options, links))
    : play(fault, options, seed, await processes(fault, options, seed, links))
}

async function processes(
  fault: Fault,
  { peers }: ChaosOptions,
  seed: number,
  links: boolean,
): Promise<Stage<Testbed>> {
  const env = await Promise.all((fault.clockOffsets ?? []).map(clockOffset))
  const testbed = await startTestbed({ nodes: NODES, seed, links, ...fault.testbed, env })
  const proxied = `http://127.0.0.1:${testbed.peerProxy.port}`
  return {
    testbed,
    urlOf: (peer) => (peer < peers * PROXIED_SHARE ? proxied : testbed.haproxy.url),
    nodes: testbed.members,
    linked: links && fault.testbed?.linkProxies === undefined,
    stop: () => testbed.stop(),
  }
}

async function containers(
  fault: ContainerFault,
  { engine }: ChaosOptions,
  links: boolean,
): Promise<Stage<ContainerTestbed>> {
  if (engine === undefined)
    throw new Error(`${fault.id} is a fault of containers, which need a Docker engine`)
  const testbed = await startContainers(engine, {
    prefix: `chaos-${fault.id.toLowerCase()}`,
    // Each class has its own network, so that they can run side by side.
    subnet: `10.89.${FIRST_SUBNET + containerFaults.indexOf(fault)}`,
    nodes: NODES,
    links,
    redisProxies: fault.redisProxies ?? false,
  })
  return {
    testbed,
    urlOf: () => testbed.balancer.url,
    nodes: testbed.nodes,
    linked: links,
    stop: () => testbed.stop(),
  }
}

async function play<T>(
  fault: Fault<T>,
  options: ChaosOptions,
  seed: number,
  stage: Stage<T>,
): Promise<ClassResult> {
  const history = new History()
  const traffic = new Traffic(history, seed)
  const notes: ClassResult['notes'] = []
  let trafficUntil = 0
  const context: Context<T> = {
    testbed: stage.testbed,
    traffic,
    history,
    random: seeded(seed),
    note: (what, value, { atMost = Infinity, atLeast = -Infinity } = {}) =>
      notes.push({ what, value, ok: value <= atMost && value >= atLeast }),
  }
  try {
    for (let i = 0; i < options.peers; i++) await traffic.join(stage.urlOf(i), `peer-${i}`)
    if (!fault.idle) traffic.start()
    await wait(2_000)
    if (stage.linked && !fault.idle) await noteLinked(context, stage.nodes)
    for (let i = 0; i < options.times; i++) {
      const from = history.now()
      await fault.run(context)
      await wait(Math.max(3_000, from + fault.watchMs - history.now()))
    }
    trafficUntil = history.now()
    await traffic.quiet()
  } finally {
    await traffic.stop()
    await stage.stop()
  }
  const { events } = history
  const verdict = check(events, {
    overlapMs: fault.overlapMs ?? OVERLAP_MS,
    endMs: history.now(),
    deadlineMs: DEADLINE_MS,
  })
  const injections = events.filter(({ type }) => type === 'inject')
  const outagesMs = injections.flatMap(({ at }) => outages(events, at, trafficUntil))
  const failures: Record<string, number> = {}
  for (const event of events)
    if (event.type === 'settled' && event.code !== undefined)
      failures[event.code] = (failures[event.code] ?? 0) + 1
  const failedSends = events.filter(
    (event) => event.type === 'settled' && event.outcome !== 'delivered',
  ).length
  const met =
    isClean(verdict) &&
    percentile(outagesMs, 0.99) <= fault.outageP99Ms &&
    notes.every((note) => note.ok) &&
    !(fault.noFailedSend && failedSends > 0)
  return { fault, injected: options.times, outagesMs, failedSends, failures, notes, verdict, met }
}

export const HEADER =
  'class  injected  acked  failed  lost  doubled  reordered  held twice  silent  outage p50/p99/max ms  expected p99  verdict'

export function line(result: ClassResult): string {
  const { fault, verdict, outagesMs } = result
  const of = (share: number): string => String(Math.round(percentile(outagesMs, share)))
  return [
    fault.id.padEnd(6),
    String(result.injected).padEnd(9),
    String(verdict.acknowledged).padEnd(6),
    String(result.failedSends).padEnd(7),
    String(verdict.lost.length).padEnd(5),
    String(verdict.doubled.length + verdict.strangers.length).padEnd(8),
    String(verdict.reordered.length).padEnd(10),
    String(verdict.heldTwice.length).padEnd(11),
    String(verdict.unsettled.length).padEnd(7),
    `${of(0.5)}/${of(0.99)}/${of(1)}`.padEnd(22),
    String(fault.outageP99Ms).padEnd(13),
    result.met ? 'met' : 'NOT MET',
  ].join(' ')
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export const USAGE = `npm run chaos -- [--seed N] [--faults ID,…] [--times N] [--peers N]
Injects faults into real processes under traffic. By default it injects each fault once, with 24 peers. It checks the
history that the peers recorded themselves. The same seed gives the same schedule. F9 selects every kind of F9.
An odd seed runs nodes with links to each other, an even seed without. F4-links, F28 and F30 always have links, F4-inbox
never. F29 and up disturb the network between containers: they need a Docker engine (on Debian, root can start one).
Faults: ${faults.map(({ id }) => id).join(', ')}`

export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      faults: { type: 'string' },
      times: { type: 'string', default: '1' },
      peers: { type: 'string', default: '24' },
    },
  })
  const log = (text: string): void => console.log(text)
  const ids = values.faults?.split(',') ?? faults.map((fault) => fault.id)
  chosen(ids)
  const numbers = {
    seed: wholeNumber('seed', values.seed, 0),
    times: wholeNumber('times', values.times, 1),
    peers: wholeNumber('peers', values.peers, 1),
  }
  // After every mistake in the arguments was found: an engine takes seconds, and a minute the first time.
  const engine = await engineFor(ids, log)
  try {
    const results = await runChaos({
      ...numbers,
      faults: engine === undefined ? ids.filter((id) => !needsEngine(id)) : ids,
      ...(engine === undefined ? {} : { engine }),
      log,
    })
    log(`\n${HEADER}`)
    for (const result of results) log(line(result))
    const left = engine === undefined ? ids.filter(needsEngine) : []
    if (left.length > 0) log(`did not run: ${left.join(', ')}`)
    // What was asked for by its name must have run.
    const isComplete = values.faults === undefined || left.length === 0
    return isComplete && results.every((result) => result.met) ? 0 : 1
  } finally {
    await engine?.stop()
  }
}

const needsEngine = (id: string): boolean => pick([id]).found.some((fault) => 'contained' in fault)

/** Starts an engine if one of the faults needs it. Says why, if that is not possible. */
async function engineFor(
  ids: readonly string[],
  log: (line: string) => void,
): Promise<OwnedEngine | undefined> {
  if (!ids.some(needsEngine)) return undefined
  const reason = await whyNoEngine()
  if (reason !== undefined) {
    log(`Faults of containers do not run: ${reason}.`)
    return undefined
  }
  return startPreparedEngine()
}
