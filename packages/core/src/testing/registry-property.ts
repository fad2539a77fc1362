import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Lease } from '../registry.js'
import type { MakeCluster, Pace } from './cluster.js'
import { LONG_GRACE_MS, newPeer, newSecretHash, ownerAt } from './cluster.js'
import type { ModelNode } from './registry-model.js'
import { RegistryModel } from './registry-model.js'

export interface PropertyOptions {
  runs: number
  /** Steps of one run, at most. */
  steps: number
  pace: Pace
  /** Whether `pass` is free, so that leases may end and nodes may die of age. */
  clockSteps: boolean
}

/** Drives a registry and its model through the same claims, crashes, races and floods, and compares after each step. */
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
const secrets = Array.from({ length: 3 }, newSecretHash)

/** One step, done to both sides. */
abstract class Step implements fc.AsyncCommand<RegistryModel, undefined> {
  check(model: RegistryModel): boolean {
    return model.nodes.some((node) => !node.crashed)
  }

  async run(model: RegistryModel): Promise<void> {
    await this.act(model)
    await model.check()
  }

  abstract act(model: RegistryModel): Promise<void>
  abstract toString(): string

  protected living(model: RegistryModel, index: number): ModelNode {
    const living = model.nodes.filter((node) => !node.crashed)
    return pick(living, index)
  }
}

class Claim extends Step {
  readonly #peer: number
  readonly #claims: { node: number; secret: number; policy: 'refuse' | 'replace' }[]

  /** Several claims are a race. */
  constructor(peer: number, claims: { node: number; secret: number; policy: 'refuse' | 'replace' }[]) {
    super()
    this.#peer = peer
    this.#claims = claims
  }

  async act(model: RegistryModel): Promise<void> {
    const peer = pick(model.peers, this.#peer)
    const before = model.held(peer)
    const presented = model.highest(peer)
    const race = this.#claims.map(({ node, secret, policy }) => ({
      at: this.living(model, node),
      secretHash: pick(secrets, secret),
      policy,
    }))
    const possible = race.map(({ secretHash, policy }) => model.mustWin(peer, secretHash, policy))
    const results = await Promise.all(
      race.map(({ at, secretHash, policy }) =>
        at.backend.registry.claim(peer, ownerAt(at), { secretHash, policy, presented }),
      ),
    )
    const won = results.filter((result) => result.ok).sort((a, b) => a.lease.epoch - b.lease.epoch)
    if (race.length === 1) {
      expect(won.length === 1, 'whether the claim wins [I8] [I9]').toBe(possible[0])
      if (results[0]?.ok === false) expect(results[0].holder).toEqual(before)
    } else if (possible.some((can) => can))
      expect(won.length, 'a free name finds a holder').toBeGreaterThan(0)
    else expect(won, 'a held name is not taken [I9]').toEqual([])
    // In the order of their epochs, every winner had the right to win over the one before it [I1].
    for (const { lease } of won) {
      const { policy } = race.find(
        (claim) => claim.secretHash === lease.secretHash && claim.policy === 'replace',
      ) ?? {
        policy: 'refuse' as const,
      }
      expect(model.mustWin(peer, lease.secretHash, policy)).toBe(true)
      model.won(lease)
    }
  }

  toString(): string {
    return `claim(${this.#peer}, ${JSON.stringify(this.#claims)})`
  }
}

type Late = 'renew' | 'suspend' | 'release' | 'reassert'

/** A call about any stay that ever was, by whichever node: most of them are late. */
class Call extends Step {
  readonly #what: Late
  readonly #stay: number

  constructor(what: Late, stay: number) {
    super()
    this.#what = what
    this.#stay = stay
  }

  override check(model: RegistryModel): boolean {
    return super.check(model) && model.stays.length > 0
  }

  async act(model: RegistryModel): Promise<void> {
    const lease = pick(model.stays, this.#stay)
    const { registry } = this.living(model, this.#stay).backend
    const held = model.held(lease.peer)
    switch (this.#what) {
      case 'renew': {
        const lost = await registry.renew([lease])
        if (held === undefined) expect(lost, '[I3]').toEqual([{ lease, reason: 'absent' }])
        else if (held.epoch === lease.epoch && held.node === lease.node) expect(lost).toEqual([])
        else expect(lost, '[I3]').toEqual([{ lease, reason: 'another', holder: held }])
        return model.renewed(lease)
      }
      case 'suspend': {
        const graceMs = this.#stay % 2 ? model.cluster.times.graceMs : LONG_GRACE_MS
        await registry.suspend(lease, graceMs)
        return model.suspended(lease, graceMs)
      }
      case 'release':
        await registry.release(lease)
        return model.released(lease)
      case 'reassert': {
        // Only the node that holds a stay re-asserts it, and only while its own lease lasts.
        const holder = model.nodes.find((node) => node.node === lease.node && !node.crashed)
        return holder && reassert(model, holder.backend.registry, lease)
      }
    }
  }

  toString(): string {
    return `${this.#what}(${this.#stay})`
  }
}

async function reassert(
  model: RegistryModel,
  registry: ModelNode['backend']['registry'],
  lease: Lease,
): Promise<void> {
  if (!model.mayReassert(lease)) return
  const held = model.held(lease.peer)
  const expected = model.reassertion(lease)
  const { lost, evicted } = await registry.reassert([lease])
  switch (expected) {
    case 'ours':
      expect({ lost, evicted }).toEqual({ lost: [], evicted: [] })
      break
    case 'lost':
      expect({ lost, evicted }, '[I10]').toEqual({
        lost: [{ lease, reason: 'another', holder: held }],
        evicted: [],
      })
      return
    case 'evicts':
      expect({ lost, evicted }, '[I10]').toEqual({ lost: [], evicted: [held] })
      break
    case 'either':
      expect(evicted).toEqual([])
      if (lost.length > 0) {
        expect(lost, '[I2]').toEqual([{ lease, reason: 'absent' }])
        return
      }
      break
  }
  model.wroteBack(lease)
}

class Flush extends Step {
  async act(model: RegistryModel): Promise<void> {
    await model.cluster.flush()
    model.flush()
    for (const node of model.nodes) {
      if (node.crashed) continue
      expect(await node.backend.nodes.beat(), '[I10]').toBe('alive')
      model.beaten(node.node)
    }
    for (const node of model.nodes) if (!node.crashed) await node.backend.nodes.beat()
  }

  toString(): string {
    return 'flush'
  }
}

/** A node leaves and comes back as another one; or is killed, or restarted after that. */
class Life extends Step {
  readonly #what: 'leave' | 'crash' | 'restart'
  readonly #node: number

  constructor(what: 'leave' | 'crash' | 'restart', node: number) {
    super()
    this.#what = what
    this.#node = node
  }

  override check(model: RegistryModel): boolean {
    const living = model.nodes.filter((node) => !node.crashed).length
    return this.#what === 'restart' ? living < model.nodes.length : living > 1
  }

  async act(model: RegistryModel): Promise<void> {
    if (this.#what === 'restart') {
      const node = pick(
        model.nodes.filter((one) => one.crashed),
        this.#node,
      )
      await this.#begin(model, node)
      return
    }
    const node = this.living(model, this.#node)
    if (this.#what === 'crash') {
      node.crashed = true
      return
    }
    await node.backend.nodes.leave()
    model.left(node.node)
    await this.#begin(model, node)
  }

  async #begin(model: RegistryModel, node: ModelNode): Promise<void> {
    model.restart(node)
    for (const one of model.nodes) {
      if (one.crashed) continue
      expect(await one.backend.nodes.beat()).toBe('alive')
      model.beaten(one.node)
    }
  }

  toString(): string {
    return `${this.#what}(${this.#node})`
  }
}

/** Every node's wall clock is set to another time [F20]: leases are none of its business. */
class Jump extends Step {
  readonly #ms: number

  constructor(ms: number) {
    super()
    this.#ms = ms
  }

  act(model: RegistryModel): Promise<void> {
    model.cluster.jump(this.#ms)
    return Promise.resolve()
  }

  toString(): string {
    return `jump(${this.#ms})`
  }
}

/** Time passes, while the living beat. */
class Pass extends Step {
  readonly #ms: number

  constructor(ms: number) {
    super()
    this.#ms = ms
  }

  async act(model: RegistryModel): Promise<void> {
    const { beatMs } = model.cluster.times
    for (let left = this.#ms; left > 0; left -= beatMs) {
      await model.cluster.pass(Math.min(left, beatMs))
      for (const node of model.nodes) {
        if (node.crashed) continue
        expect(await node.backend.nodes.beat()).toBe('alive')
        model.beaten(node.node)
      }
    }
  }

  toString(): string {
    return `pass(${this.#ms})`
  }
}

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
      .map(([what, stay]) => new Call(what, stay)),
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

function pick<T>(items: readonly T[], index: number): T {
  const item = items[index % items.length]
  if (item === undefined) throw new Error('nothing to pick from')
  return item
}
