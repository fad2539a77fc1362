import type * as fc from 'fast-check'
import { expect } from 'vitest'
import type { Lease } from '../../names/registry.js'
import { isSameLease } from '../../names/registry.js'
import { LONG_GRACE_MS, newSecretHash, ownerAt } from '../cluster.js'
import type { ModelNode, RegistryModel } from './registry-model.js'

const secrets = Array.from({ length: 3 }, newSecretHash)

/** One step, applied to the model and to the real registry. */
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

export class Claim extends Step {
  readonly #peer: number
  readonly #claims: { node: number; secret: number; policy: 'refuse' | 'replace' }[]

  /** Several claims run concurrently. */
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
      if (results[0] && !results[0].ok) expect(results[0].holder).toEqual(before)
    } else if (possible.some((can) => can))
      expect(won.length, 'one claim of a free name wins').toBeGreaterThan(0)
    else expect(won, 'a held name is not taken [I9]').toEqual([])
    // We go through the winners in the order of their epochs: each was allowed to win over the previous one [I1].
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

export type Late = 'renew' | 'suspend' | 'release' | 'reassert'

/** A call about any lease that was ever made, by any node. Most of these calls are late. */
export class Call extends Step {
  readonly #what: Late
  readonly #which: number

  constructor(what: Late, which: number) {
    super()
    this.#what = what
    this.#which = which
  }

  override check(model: RegistryModel): boolean {
    return super.check(model) && model.former.length > 0
  }

  async act(model: RegistryModel): Promise<void> {
    const lease = pick(model.former, this.#which)
    const { registry } = this.living(model, this.#which).backend
    const held = model.held(lease.peer)
    switch (this.#what) {
      case 'renew': {
        const lost = await registry.renew([lease])
        if (held === undefined) expect(lost, '[I3]').toEqual([{ lease, reason: 'absent' }])
        else if (isSameLease(held, lease) && held.since === lease.since) expect(lost).toEqual([])
        else expect(lost, '[I3]').toEqual([{ lease, reason: 'another', holder: held }])
        return model.renewed(lease)
      }
      case 'suspend': {
        const graceMs = this.#which % 2 ? model.cluster.times.graceMs : LONG_GRACE_MS
        await registry.suspend(lease, graceMs)
        return model.suspended(lease, graceMs)
      }
      case 'release':
        await registry.release(lease)
        return model.released(lease)
      case 'reassert': {
        // Only the node that holds a lease re-asserts it, and only while its own node lease lasts.
        const holder = model.nodes.find((node) => node.node === lease.node && !node.crashed)
        return holder && reassert(model, holder.backend.registry, lease)
      }
    }
  }

  toString(): string {
    return `${this.#what}(${this.#which})`
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
    case 'merges': {
      const holder = model.merged(lease)
      expect(evicted).toEqual([])
      const isUnchanged = isSameLease(holder, lease) && holder.since === lease.since
      expect(lost, '[I10]').toEqual(isUnchanged ? [] : [{ lease, reason: 'another', holder }])
      return
    }
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

export class Flush extends Step {
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

/** A node leaves and comes back with a new identity, is killed, or is restarted after that. */
export class Life extends Step {
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

/** Sets every node's wall clock to another time [F20]. Leases must not depend on it. */
export class Jump extends Step {
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

/** Lets time pass while the living nodes beat. */
export class Pass extends Step {
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

function pick<T>(items: readonly T[], index: number): T {
  const item = items[index % items.length]
  if (item === undefined) throw new Error('nothing to pick from')
  return item
}
