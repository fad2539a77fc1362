import type { Peer } from '@peerage/protocol'
import type {
  ClaimOptions,
  Claimed,
  Lease,
  Lost,
  OnError,
  Owner,
  ReassertOptions,
  Reasserted,
  Registry,
  Times,
} from '@peerage/core'
import { RegistryUnavailable, afterEvent, staleLeaseMs, rankOf } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import { readStrings } from './connections/commands.js'
import { inTime } from './in-time.js'
import type { Keys } from './keys.js'
import { MARK } from './keys.js'
import { formatAs, formatLease, parseLease } from './lease-string.js'
import type { RedisNodes } from './nodes.js'
import { claimScript, reassertScript, releaseScript, renewScript, suspendScript } from './scripts/names.js'

export interface RedisRegistryOptions {
  commands: Commands
  keys: Keys
  nodes: RedisNodes
  times: Times
  /** Whether all keys are on one server, so that a claim can read the set of nodes. */
  single: boolean
  onError: OnError
}

/** A look-up that has not been sent yet. */
interface Asked {
  peer: Peer
  resolve: (lease: Lease | undefined) => void
  reject: (error: unknown) => void
}

/** Names in one command. Redis answers no other command meanwhile. */
const NAMES_PER_COMMAND = 500

/** The names of the cluster: one string each, and one script for each change. */
export class RedisRegistry implements Registry {
  readonly #options: RedisRegistryOptions
  #asked: Asked[] = []

  constructor(options: RedisRegistryOptions) {
    this.#options = options
  }

  async claim(peer: Peer, owner: Owner, options: ClaimOptions): Promise<Claimed> {
    const { nodes } = this.#options
    const claimed = await this.#claim(peer, owner, options)
    if (claimed.ok || claimed.holder === undefined) return claimed
    const { holder } = claimed
    if (holder.state === 'away' || !nodes.isAbandoned(holder.node)) return claimed
    // Its node was dead at our last beat. Check again, then take exactly that lease [I6].
    await nodes.refresh()
    if (!nodes.isAbandoned(holder.node)) return claimed
    const taken = await this.#claim(peer, owner, options, holder)
    // The previous holder's node is dead, so there is nobody to notify.
    return taken.ok && taken.replaced?.epoch === holder.epoch ? { ok: true, lease: taken.lease } : taken
  }

  async renew(leases: readonly Lease[]): Promise<Lost[]> {
    const { commands, keys, times } = this.#options
    const outcomes = await Promise.all(
      leases.map(async (lease): Promise<Lost | undefined> => {
        const args = [formatAs(lease, 'online'), formatAs(lease, 'away'), times.nameTtlMs]
        const answer = await commands.script(renewScript, keys.lease(lease.peer), args)
        return answer === 1 ? undefined : this.#lost(lease, answer)
      }),
    )
    return outcomes.filter((lost) => lost !== undefined)
  }

  async reassert(leases: readonly Lease[], options: ReassertOptions = {}): Promise<Reasserted> {
    const outcome: Reasserted = { lost: [], evicted: [] }
    await Promise.all(leases.map((lease) => this.#reassert(lease, options, outcome)))
    return outcome
  }

  async suspend(lease: Lease, graceMs: number): Promise<void> {
    const { commands, keys } = this.#options
    await commands.script(suspendScript, keys.lease(lease.peer), [
      keys.presence(lease.peer),
      formatAs(lease, 'online'),
      formatAs(lease, 'away'),
      graceMs,
      lease.since,
    ])
  }

  async release(lease: Lease): Promise<void> {
    const { commands, keys, times } = this.#options
    await commands.script(releaseScript, keys.lease(lease.peer), [
      keys.presence(lease.peer),
      formatAs(lease, 'online'),
      formatAs(lease, 'away'),
      lease.epoch,
      lease.since,
      lease.state === 'away' ? 1 : 0,
      rankOf(lease),
      staleLeaseMs(times),
    ])
  }

  // Look-ups from one event are one command. The sixty-four names that a peer watches, or a share of all watched
  // names, would cost a command each. On a Cluster the slots do not allow it.
  lookup(peer: Peer): Promise<Lease | undefined> {
    if (!this.#options.single) return this.#lookupAlone(peer)
    return new Promise((resolve, reject) => {
      this.#asked.push({ peer, resolve, reject })
      if (this.#asked.length === 1) afterEvent(() => this.#lookupAsked())
    })
  }

  async #lookupAlone(peer: Peer): Promise<Lease | undefined> {
    const { commands, keys } = this.#options
    return this.#read(peer, await commands.run((client) => client.get(keys.lease(peer))))
  }

  async graceEndsIn(peer: Peer): Promise<number> {
    const { commands, keys } = this.#options
    const ms = await commands.run((client) => client.pttl(keys.lease(peer)))
    // Redis answers -2 if there is no such key.
    return Math.max(0, ms)
  }

  #lookupAsked(): void {
    const asked = this.#asked
    this.#asked = []
    for (let from = 0; from < asked.length; from += NAMES_PER_COMMAND)
      void this.#lookupTogether(asked.slice(from, from + NAMES_PER_COMMAND))
  }

  async #lookupTogether(asked: readonly Asked[]): Promise<void> {
    const { commands, keys } = this.#options
    try {
      const values = await commands.run((client) => client.mget(asked.map(({ peer }) => keys.lease(peer))))
      for (const [i, { peer, resolve }] of asked.entries()) resolve(this.#read(peer, values[i]))
    } catch (error) {
      for (const { reject } of asked) reject(error)
    }
  }

  async #claim(peer: Peer, owner: Owner, options: ClaimOptions, dead?: Lease): Promise<Claimed> {
    const { commands, keys, nodes, times, single } = this.#options
    const scriptKeys = single ? [keys.lease(peer), keys.nodes()] : keys.lease(peer)
    const { createdAt } = nodes
    const answer = await this.#inTime(
      () => nodes.commandDeadline(),
      (latest) =>
        commands.script(claimScript, scriptKeys, [
          keys.presence(peer),
          owner.node,
          owner.connection,
          options.secretHash,
          options.policy === 'replace' ? 1 : 0,
          options.presented ?? 0,
          times.nameTtlMs,
          latest,
          options.absent === 'leave' ? 0 : 1,
          `${MARK}${createdAt}`,
          ...(dead === undefined ? [] : [dead.node, dead.epoch]),
        ]),
    )
    // Another call may have noticed first, and this node has read the set again since.
    if (answer[0] === 'emptied' && createdAt === nodes.createdAt) nodes.noticeLoss()
    if (answer[0] === 'emptied' || answer[0] === 'unsettled') return { ok: false, holder: undefined }
    const lease = this.#read(peer, answer[1])
    if (!lease) throw new RegistryUnavailable(`Redis answered a claim with ${answer[0] ?? 'nothing'}`)
    if (answer[0] === 'held') return { ok: false, holder: lease }
    const replaced = this.#read(peer, answer[2])
    return replaced ? { ok: true, lease, replaced } : { ok: true, lease }
  }

  async #reassert(lease: Lease, options: ReassertOptions, outcome: Reasserted): Promise<void> {
    const { commands, keys, nodes, times } = this.#options
    const { peer, node, connection, since, epoch, state } = lease
    const { formerNode, graceMs = times.graceMs } = options
    // A process that was paused past its node lease must not win names back by their age [I12].
    const latestNow = (): number =>
      formerNode === undefined ? nodes.ownCommandDeadline() : nodes.commandDeadline()
    const [verdict, other] = await this.#inTime(latestNow, (latest) =>
      commands.script(reassertScript, keys.lease(peer), [
        keys.presence(peer),
        formatLease(lease),
        formatAs(lease, 'online'),
        formatAs(lease, 'away'),
        node,
        connection,
        since,
        epoch,
        state === 'online' ? 'o' : 'a',
        times.nameTtlMs,
        graceMs,
        formerNode ?? '',
        latest,
        lease.secretHash,
        rankOf(lease),
      ]),
    )
    if (verdict === 'ours') return
    if (verdict !== 'evicted') {
      outcome.lost.push(this.#lost(lease, other))
      return
    }
    const evicted = this.#read(peer, other)
    if (evicted) outcome.evicted.push(evicted)
  }

  /** Sends the command with its deadline by Redis's clock. */
  #inTime(latest: () => number, command: (latest: number) => Promise<unknown>): Promise<string[]> {
    const { nodes, onError } = this.#options
    return inTime(
      nodes,
      async () => {
        const answer = readStrings(await command(latest()))
        return answer[0] === 'late' ? undefined : answer
      },
      (error) => onError(error, { stage: 'registry' }),
    )
  }

  #read(peer: Peer, value: unknown): Lease | undefined {
    const lease = parseLease(peer, value)
    if (lease !== undefined) this.#options.nodes.sawEpoch(lease.epoch)
    return lease
  }

  #lost(lease: Lease, value: unknown): Lost {
    const holder = this.#read(lease.peer, value)
    return holder ? { lease, reason: 'another', holder } : { lease, reason: 'absent' }
  }
}
