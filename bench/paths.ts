import type { BenchProcess } from './lib/processes.js'
import type { Stack } from './stacks.js'

/** The numbers of envelopes between nodes, by their path. */
interface Paths {
  link: number
  inbox: number
}

/** If links carry a smaller share, a row about links would measure something else. */
const LEAST_SHARE = 0.99

/**
 * Runs `measure`. If the stack's nodes have links, it throws if links carried too few of the envelopes. It asks the nodes
 * before and after the measurement, so the cost of asking is in no figure.
 */
export async function overLinks<T>(stack: Stack, measure: () => Promise<T>): Promise<T> {
  if (!stack.links || stack.nodes.length < 2) return measure()
  const before = await readPaths(stack.nodes)
  const measured = await measure()
  const after = await readPaths(stack.nodes)
  const link = after.link - before.link
  const all = link + after.inbox - before.inbox
  if (all === 0 || link / all < LEAST_SHARE)
    throw new Error(
      `links carried only ${link} of ${all} envelopes between the nodes, so this would not measure links`,
    )
  return measured
}

/** The sum over all nodes since they started. */
async function readPaths(nodes: readonly BenchProcess[]): Promise<Paths> {
  const texts = await Promise.all(nodes.map(readMetrics))
  const count = (path: keyof Paths): number => texts.reduce((sum, text) => sum + envelopesOf(text, path), 0)
  return { link: count('link'), inbox: count('inbox') }
}

async function readMetrics(node: BenchProcess): Promise<string> {
  const admin = node.ready['admin']
  if (typeof admin !== 'string')
    throw new Error(`the ready line names no admin port: ${JSON.stringify(node.ready)}`)
  const response = await fetch(new URL('metrics', admin))
  return response.text()
}

function envelopesOf(metrics: string, path: keyof Paths): number {
  const value = new RegExp(`^peerage_bus_path_envelopes_total\\{path="${path}"\\} (\\d+)`, 'm').exec(
    metrics,
  )?.[1]
  if (value === undefined) throw new Error(`the metrics have no envelopes for the path ${path}`)
  return Number(value)
}
