import type { Fault } from '../context.js'
import { containerFaults, type ContainerFault } from './containers.js'
import { linkEndFaults } from './link-ends.js'
import { linkPathFaults } from './link-paths.js'
import { limitFaults, loadFaults } from './load.js'
import { nameFaults } from './names.js'
import { networkFaults } from './network.js'
import { nodeFaults } from './nodes.js'
import { redisFaults } from './redis.js'
import { resetFaults } from './resets.js'
import { topologyFaults } from './topology.js'

export type AnyFault = Fault | ContainerFault

const numberOf = (fault: AnyFault): number => Number(/^F(\d+)/.exec(fault.id)?.[1])

/** All faults in the order of their numbers. F22 waits for signed tokens; F29 and up need a Docker engine. */
export const faults: readonly AnyFault[] = [
  ...nodeFaults,
  ...redisFaults,
  ...networkFaults,
  ...topologyFaults,
  ...loadFaults,
  ...limitFaults,
  ...resetFaults,
  ...nameFaults,
  ...linkPathFaults,
  ...linkEndFaults,
  ...containerFaults,
].toSorted((a, b) => numberOf(a) - numberOf(b))

/** `F9` selects every kind of F9; `F9-move` selects that one. */
export function pick(ids: readonly string[]): { found: AnyFault[]; unknown: string[] } {
  const names = (id: string, fault: AnyFault): boolean => fault.id === id || fault.id.startsWith(`${id}-`)
  return {
    found: faults.filter((fault) => ids.some((id) => names(id, fault))),
    unknown: ids.filter((id) => !faults.some((fault) => names(id, fault))),
  }
}
