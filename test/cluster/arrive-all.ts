import type { Node } from '@peerage/core'
import { arrive, type Arrival } from '@peerage/test-support/testing/core.js'
import { eventually } from './redis-rig.js'

/** More claims at once than this can take longer than a command may, on two busy cores. */
const AT_ONCE = 20

/**
 * Claims each name on the node that `at` gives for its index, and claims again where Redis did not answer in time, as a
 * peer does. Resolves when all names are held.
 */
export async function arriveAll(names: readonly string[], at: (index: number) => Node): Promise<Arrival[]> {
  const arrivals: Arrival[] = []
  for (let start = 0; start < names.length; start += AT_ONCE) {
    const group = names.slice(start, start + AT_ONCE)
    arrivals.push(...(await Promise.all(group.map((name, i) => arriveAtLast(at(start + i), name)))))
  }
  return arrivals
}

async function arriveAtLast(node: Node, name: string): Promise<Arrival> {
  const tries: Arrival[] = []
  await eventually(`${name} has its name`, async () => {
    const last = await arrive(node, name)
    tries.push(last)
    return last.outcome.ok || last.outcome.code !== 'registry-unavailable'
  })
  return tries.at(-1) ?? unreachable()
}

function unreachable(): never {
  throw new Error('eventually resolved without a try')
}
