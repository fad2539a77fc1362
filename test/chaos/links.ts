import { wait, type Context } from './context.js'

/** A node whose metrics can be read. */
export interface Metered {
  readonly node: { readonly admin: string | undefined }
}

/** The figures about a node's links, each with its metric: the name, and a label that must be present. */
const METRICS = {
  /** Links that are up. Both nodes of a link count it. All figures below are counted since the start. */
  up: ['peerage_links', ''],
  /** Envelopes to other nodes, by the path that they took first. */
  link: ['peerage_bus_path_envelopes_total', 'path="link"'],
  inbox: ['peerage_bus_path_envelopes_total', 'path="inbox"'],
  /** Envelopes that arrived a second time over the other path, and were dropped. */
  repeated: ['peerage_bus_repeated_envelopes_total', ''],
  ups: ['peerage_link_switches_total', 'to="link"'],
  /** Links that ended for any reason, and those that ended because nothing was confirmed. */
  downs: ['peerage_link_switches_total', 'to="inbox"'],
  unconfirmed: ['peerage_link_switches_total', 'reason="unconfirmed"'],
  /** Links that could not be opened. */
  failures: ['peerage_link_failures_total', ''],
} as const

export type LinkReading = Record<keyof typeof METRICS, number>

/** The sum of a metric's values whose labels contain this text; 0 if there is none. */
export type ReadMetric = (name: string, label?: string) => number

const ANSWER_WITHIN_MS = 5_000

/** The current metrics of a node's admin port. */
export async function metricsOf(member: Metered): Promise<ReadMetric> {
  const { admin } = member.node
  if (admin === undefined) throw new Error('this node has no admin port')
  const response = await fetch(`${admin}/metrics`, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) })
  return metricsIn(await response.text())
}

/** Parses the text format of Prometheus. */
export function metricsIn(text: string): ReadMetric {
  const lines = text.split('\n')
  return (name, label = '') =>
    lines
      .filter((line) => /^\w+/.exec(line)?.[0] === name && line.includes(label))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

function reading(value: (key: keyof typeof METRICS) => number): LinkReading {
  return {
    up: value('up'),
    link: value('link'),
    inbox: value('inbox'),
    repeated: value('repeated'),
    ups: value('ups'),
    downs: value('downs'),
    unconfirmed: value('unconfirmed'),
    failures: value('failures'),
  }
}

async function readMember(member: Metered): Promise<LinkReading> {
  const read = await metricsOf(member)
  return reading((key) => {
    const [name, label] = METRICS[key]
    return read(name, label)
  })
}

/** The sums over all these nodes. */
export async function readLinks(members: readonly Metered[]): Promise<LinkReading> {
  const each = await Promise.all(members.map(readMember))
  return reading((key) => each.reduce((sum, one) => sum + one[key], 0))
}

/** Returns a function that reports what has changed with the links of these nodes. The processes must be the same then. */
export async function watchLinks(members: readonly Metered[]): Promise<() => Promise<LinkReading>> {
  const before = await readLinks(members)
  return async () => {
    const now = await readLinks(members)
    return reading((key) => now[key] - before[key])
  }
}

/** A link that has failed for long is tried again after at most a minute. */
export const LINKED_WITHIN_MS = 75_000

/**
 * Milliseconds until each node has a link to every other node, and has sent something over a link meanwhile. Infinity if
 * that takes too long.
 */
export async function untilLinked(members: readonly Metered[]): Promise<number> {
  const before = await Promise.all(members.map(readMember))
  const started = performance.now()
  while (performance.now() - started < LINKED_WITHIN_MS) {
    const now = await Promise.all(members.map(readMember))
    const isLinked = now.every(
      ({ up, link }, i) => up === members.length - 1 && link > (before[i]?.link ?? 0),
    )
    if (isLinked) return performance.now() - started
    await wait(100)
  }
  return Infinity
}

/** Notes whether all nodes are linked. A fault of links means nothing unless links carry envelopes first. */
export async function noteLinked(context: Pick<Context, 'note'>, members: readonly Metered[]): Promise<void> {
  const ms = await untilLinked(members)
  context.note('all nodes linked after ms (otherwise the fault tests nothing)', ms, {
    atMost: LINKED_WITHIN_MS,
  })
}
