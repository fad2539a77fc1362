import { wait, type Scene } from './scene.js'
import type { Seat, Stage } from './stage.js'

/** What is read of a node's links, and the metric that says it: name, and a label that must be there. */
const METRICS = {
  /** Links that stand; each of two nodes counts the one between them. What follows is counted since the start. */
  up: ['peerage_links', ''],
  /** Envelopes to other nodes, by the path that they took first. */
  link: ['peerage_bus_path_envelopes_total', 'path="link"'],
  inbox: ['peerage_bus_path_envelopes_total', 'path="inbox"'],
  /** Envelopes that came a second time, by the other path, and were dropped. */
  repeated: ['peerage_bus_repeated_envelopes_total', ''],
  ups: ['peerage_link_switches_total', 'to="link"'],
  /** For whatever reason, and because nobody confirmed what was sent. */
  downs: ['peerage_link_switches_total', 'to="inbox"'],
  unconfirmed: ['peerage_link_switches_total', 'reason="unconfirmed"'],
  /** Links that could not be made. */
  failures: ['peerage_link_failures_total', ''],
} as const

export type LinkReading = Record<keyof typeof METRICS, number>

/** Values of a metric, added up over all whose labels hold this text; 0 where there is none. */
export type ReadMetric = (name: string, label?: string) => number

const ANSWER_WITHIN_MS = 5_000

/** What a node says on its admin port now. */
export async function metricsOf(seat: Seat): Promise<ReadMetric> {
  const { admin } = seat.node
  if (admin === undefined) throw new Error('this node has no admin port')
  const response = await fetch(`${admin}/metrics`, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) })
  const lines = (await response.text()).split('\n')
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

async function readSeat(seat: Seat): Promise<LinkReading> {
  const read = await metricsOf(seat)
  return reading((key) => {
    const [name, label] = METRICS[key]
    return read(name, label)
  })
}

/** Of all these nodes together. */
export async function readLinks(seats: readonly Seat[]): Promise<LinkReading> {
  const each = await Promise.all(seats.map(readSeat))
  return reading((key) => each.reduce((sum, one) => sum + one[key], 0))
}

/** What has changed with the links of these nodes since now, once it is asked. The processes must be the same then. */
export async function watchLinks(seats: readonly Seat[]): Promise<() => Promise<LinkReading>> {
  const before = await readLinks(seats)
  return async () => {
    const now = await readLinks(seats)
    return reading((key) => now[key] - before[key])
  }
}

/** A link that has failed for long is tried again after a minute at the latest. */
export const LINKED_WITHIN_MS = 75_000

/**
 * Milliseconds until each node has a link to every other one, and has sent something over one meanwhile. Infinity: not in
 * time.
 */
export async function untilLinked({ seats }: Stage): Promise<number> {
  const before = await Promise.all(seats.map(readSeat))
  const started = performance.now()
  while (performance.now() - started < LINKED_WITHIN_MS) {
    const now = await Promise.all(seats.map(readSeat))
    const isLinked = now.every(({ up, link }, i) => up === seats.length - 1 && link > (before[i]?.link ?? 0))
    if (isLinked) return performance.now() - started
    await wait(100)
  }
  return Infinity
}

/** Notes it as what a fault of links needs: without a link that carries something, nothing of it took place. */
export async function noteLinked(scene: Scene): Promise<void> {
  const ms = await untilLinked(scene.stage)
  scene.note('all nodes linked before, after ms (else the fault did not take place)', ms, {
    atMost: LINKED_WITHIN_MS,
  })
}
