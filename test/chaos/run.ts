import { parseArgs } from 'node:util'
import { clockOffset } from '@peerage/test-support/faketime.js'
import { seeded } from '@peerage/test-support/random.js'
import { requireKnown, wholeNumber } from '@peerage/test-support/usage.js'
import { check, isClean, outages, percentile, type Verdict } from './checker.js'
import { faults, pick } from './faults/index.js'
import { History } from './history.js'
import { noteLinked } from './links.js'
import type { Fault, Context } from './context.js'
import { startTestbed } from './testbed.js'
import { Traffic } from './traffic.js'

export interface ChaosOptions {
  /** An odd seed links the nodes to each other, except for faults that are about one of the two paths. */
  seed: number
  faults: readonly string[]
  /** How often each fault is injected. */
  times: number
  peers: number
  log: (line: string) => void
}

export interface ClassResult {
  fault: Fault
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
/** The share of peers that connect through the proxy that can be disturbed. */
const PROXIED_SHARE = 0.34
const DEADLINE_MS = 30_000
/** A former holder learns of its successor over the bus, or at its next renewal if that message is lost. */
const OVERLAP_MS = 1_000

/** Injects each fault under continuous traffic. Each has its own testbed and history. */
export async function runChaos(options: ChaosOptions): Promise<ClassResult[]> {
  const random = seeded(options.seed)
  const { found: wanted, unknown } = pick(options.faults)
  requireKnown(
    'fault',
    unknown,
    faults.map(({ id }) => id),
  )
  options.log(`seed ${options.seed}: the same seed gives the same schedule`)
  const results: ClassResult[] = []
  for (const fault of wanted) {
    const result = await runClass(fault, options, random.between(0, 2 ** 31))
    results.push(result)
    options.log(line(result))
    if (result.failedSends > 0) options.log(`    failed sends: ${JSON.stringify(result.failures)}`)
    for (const note of result.notes)
      options.log(`    ${note.ok ? 'ok ' : 'NOT'} ${note.what}: ${Math.round(note.value)}`)
  }
  return results
}

async function runClass(fault: Fault, options: ChaosOptions, seed: number): Promise<ClassResult> {
  const links = fault.links ?? options.seed % 2 === 1
  options.log(`${fault.id} ${fault.title} (seed ${seed}, ${links ? 'with' : 'without'} links)`)
  const history = new History()
  const env = await Promise.all((fault.clockOffsets ?? []).map(clockOffset))
  const testbed = await startTestbed({ nodes: NODES, seed, links, ...fault.testbed, env })
  const traffic = new Traffic(history, seed)
  const notes: ClassResult['notes'] = []
  let trafficUntil = 0
  const context: Context = {
    testbed,
    traffic,
    history,
    random: seeded(seed),
    note: (what, value, { atMost = Infinity, atLeast = -Infinity } = {}) =>
      notes.push({ what, value, ok: value <= atMost && value >= atLeast }),
  }
  try {
    for (let i = 0; i < options.peers; i++)
      await traffic.join(
        i < options.peers * PROXIED_SHARE
          ? `http://127.0.0.1:${testbed.peerProxy.port}`
          : testbed.haproxy.url,
        `peer-${i}`,
      )
    if (!fault.idle) traffic.start()
    await wait(2_000)
    if (links && !fault.idle && fault.testbed?.linkProxies === undefined) await noteLinked(context)
    for (let i = 0; i < options.times; i++) {
      const from = history.now()
      await fault.run(context)
      await wait(Math.max(3_000, from + fault.watchMs - history.now()))
    }
    trafficUntil = history.now()
    await traffic.quiet()
  } finally {
    await traffic.stop()
    await testbed.stop()
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
An odd seed runs nodes with links to each other, an even seed without. F4-links and F28 always have links, F4-inbox never.
Faults: ${faults.map(({ id }) => id).join(', ')}`

export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      faults: { type: 'string', default: faults.map((fault) => fault.id).join(',') },
      times: { type: 'string', default: '1' },
      peers: { type: 'string', default: '24' },
    },
  })
  const log = (text: string): void => console.log(text)
  const results = await runChaos({
    seed: wholeNumber('seed', values.seed, 0),
    faults: values.faults.split(','),
    times: wholeNumber('times', values.times, 1),
    peers: wholeNumber('peers', values.peers, 1),
    log,
  })
  log(`\n${HEADER}`)
  for (const result of results) log(line(result))
  return results.every((result) => result.met) ? 0 : 1
}
