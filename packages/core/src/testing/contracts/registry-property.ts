import * as fc from 'fast-check'
import { test } from 'vitest'
import type { MakeCluster, Pace } from '../cluster.js'
import { newPeer } from '../cluster.js'
import type { ModelNode } from './registry-model.js'
import { RegistryModel } from './registry-model.js'
import type { Late } from './registry-steps.js'
import { Call, Claim, Flush, Jump, Life, Pass } from './registry-steps.js'

export interface PropertyOptions {
  runs: number
  /** The greatest number of steps in one run. */
  steps: number
  pace: Pace
  /** Whether `pass` costs no real time, so that leases can end and nodes can die in the test. */
  clockSteps: boolean
}

/**
 * Runs a registry and its model through the same claims, crashes, races and flushes, and compares them after each
 * step.
 */
export function registryProperty(name: string, makeCluster: MakeCluster, options: PropertyOptions): void {
  const title = `[I1] [I2] [I3] [I4] [I6] [I8] [I9] [I10] [I11] registry against its model: ${name}`
  test(title, { timeout: PROPERTY_TIMEOUT_MS }, async () => {
    await fc.assert(
      fc.asyncProperty(commands(options), async (steps) => {
        const cluster = await makeCluster(options.pace)
        try {
          const nodes: ModelNode[] = []
          for (let i = 0; i < 3; i++) nodes.push({ ...(await cluster.join()), crashed: false })
          const model = new RegistryModel(cluster, nodes, [newPeer(), newPeer()])
          await fc.asyncModelRun(() => ({ model, real: undefined }), steps)
        } finally {
          await cluster.stop()
        }
      }),
      { numRuns: options.runs },
    )
  })
}

const PROPERTY_TIMEOUT_MS = 120_000
const HOUR_MS = 3_600_000

function commands(
  options: PropertyOptions,
): fc.Arbitrary<Iterable<fc.AsyncCommand<RegistryModel, undefined>>> {
  const index = fc.nat({ max: 20 })
  const claim = fc.record({
    node: index,
    secret: index,
    policy: fc.constantFrom('refuse' as const, 'refuse' as const, 'refuse' as const, 'replace' as const),
  })
  const always = [
    fc
      .tuple(index, fc.array(claim, { minLength: 1, maxLength: 1 }))
      .map(([peer, one]) => new Claim(peer, one)),
    fc
      .tuple(index, fc.array(claim, { minLength: 2, maxLength: 5 }))
      .map(([peer, race]) => new Claim(peer, race)),
    fc
      .tuple(fc.constantFrom<Late[]>('renew', 'suspend', 'release', 'reassert', 'reassert'), index)
      .map(([what, which]) => new Call(what, which)),
    fc.constant(new Flush()),
    index.map((node) => new Life('leave', node)),
    fc.integer({ min: -HOUR_MS, max: HOUR_MS }).map((ms) => new Jump(ms)),
  ]
  const timed = [
    index.map((node) => new Life('crash', node)),
    index.map((node) => new Life('restart', node)),
    fc.nat({ max: 2 * options.pace.times.nameTtlMs }).map((ms) => new Pass(ms)),
    fc.nat({ max: 2 * options.pace.times.graceMs }).map((ms) => new Pass(ms)),
  ]
  return fc.commands(options.clockSteps ? [...always, ...timed] : always, {
    maxCommands: options.steps,
    size: 'max',
  })
}
