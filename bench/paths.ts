import type { BenchProcess } from './lib/processes.js'
import type { Stack } from './stacks.js'

/** Envelopes from node to node, by the path that they took. */
interface Paths {
  link: number
  inbox: number
}

/** A row about links that carried less than this would be a row about something else. */
const LEAST_SHARE = 0.99

/**
 * Does what is measured. Where the stack's nodes have links, it throws if these carried too few of the envelopes. The
 * nodes are asked before and after, so what that costs them is in no figure.
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
      `links carried ${link} of ${all} envelopes between the nodes: it is links that are measured`,
    )
  return measured
}

/** Over all nodes, since they started. */
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
  if (value === undefined) throw new Error('the metrics name no envelopes by path')
  return Number(value)
}
