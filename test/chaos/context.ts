import type { Peer } from '@peerage/client'
import { connect, PeerageError } from '@peerage/client'
import type { Random } from '@peerage/test-support/random.js'
import type { History } from './history.js'
import type { Member, Testbed, TestbedOptions } from './testbed.js'
import type { Actor, Traffic } from './traffic.js'

export interface Context<T = Testbed> {
  testbed: T
  traffic: Traffic
  history: History
  random: Random
  /** Reports an observation besides the traffic. It is printed, and checked against its expectation. */
  note(what: string, value: number, expectation?: { atMost?: number; atLeast?: number }): void
}

export interface Fault<T = Testbed> {
  id: string
  title: string
  /** The longest allowed outage of a sender after the injection, p99. */
  outageP99Ms: number
  /** No send may fail, not even with an answer. */
  noFailedSend?: boolean
  /** Injects the fault, waits as long as it lasts, and heals it. */
  run(context: Context<T>): Promise<void>
  /** Settings of the testbed, if it differs from three nodes on one Redis. */
  testbed?: Omit<TestbedOptions, 'nodes' | 'seed' | 'links'>
  /** Whether the nodes link to each other. If absent, the seed decides. */
  links?: boolean
  /** The offset of each node's wall clock, in faketime's format. */
  clockOffsets?: readonly string[]
  /** No traffic, because the fault is about idle peers. */
  idle?: boolean
  /** How long two applications may hold one name: up to a lease if the store had two primaries. */
  overlapMs?: number
  /** How long to watch after the injection. Outages are measured until then. */
  watchMs: number
}

/** The nodes' times in milliseconds. */
export const TIMES = { beat: 2_000, nodeLease: 12_000, grace: 30_000, pingBudget: 15_000, deadline: 30_000 }

export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export async function until(
  what: string,
  deadlineMs: number,
  holds: () => Promise<boolean> | boolean,
): Promise<number> {
  const started = performance.now()
  while (performance.now() - started < deadlineMs) {
    if (await holds()) return performance.now() - started
    await wait(25)
  }
  throw new Error(`${what}: not within ${deadlineMs} ms`)
}

export async function inject(
  context: Pick<Context, 'history'>,
  fault: string,
  target: string,
  act: () => Promise<void> | void,
): Promise<void> {
  context.history.add({ type: 'inject', fault, target })
  await act()
}

export async function heal(
  context: Pick<Context, 'history'>,
  fault: string,
  target: string,
  act: () => Promise<void> | void,
): Promise<void> {
  await act()
  context.history.add({ type: 'heal', fault, target })
}

export async function isReady(member: Pick<Member, 'port'>): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${member.port}/readyz`, {
      signal: AbortSignal.timeout(1_000),
    })
    return response.ok
  } catch (error) {
    // The node does not listen, or is stopped.
    if (error instanceof TypeError || error instanceof DOMException) return false
    throw error
  }
}

export async function isHealthy(member: Pick<Member, 'port'>): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${member.port}/healthz`, {
    signal: AbortSignal.timeout(2_000),
  })
  return response.ok
}

/** How long it takes from now until a stranger can claim `name`; polled, so a little late. */
export async function untilFree(context: Context, name: string, deadlineMs: number): Promise<number> {
  const { url } = context.testbed.haproxy
  return until(`${name} is free`, deadlineMs, async () => {
    try {
      const stranger = await connect(url, { name, storage: null, timeoutMs: 2_000 })
      await stranger.leave()
      return true
    } catch (error) {
      if (error instanceof PeerageError) return false
      throw error
    }
  })
}

/** Waits until a look-up through the balancer finds all names online. */
export function allOnline(context: Context): Promise<number> {
  const [first] = context.traffic.actors
  if (!first) throw new Error('there are no peers')
  const names = context.traffic.actors.map((actor) => actor.name)
  return until('all names are back', 60_000, async () => {
    try {
      const seen = await first.peer.lookup(names)
      return seen.every((one) => one.state === 'online')
    } catch (error) {
      if (error instanceof PeerageError) return false
      throw error
    }
  })
}

export const victim = (context: Context): Member => context.random.pick(context.testbed.members)

/** A peer that holds a name on one node, without the balancer. */
export async function claimOn(member: Member, name: string): Promise<Peer> {
  return connect(`http://127.0.0.1:${member.port}`, { name, storage: null })
}

export function localPair(traffic: Traffic): [Actor, Actor] {
  for (const a of traffic.actors)
    for (const b of traffic.actors) if (a !== b && a.node !== undefined && a.node === b.node) return [a, b]
  throw new Error('no two peers are on one node')
}

/** Three applications with different secrets claim one name at the same time. Returns how many got it. */
export async function race(context: Context, name: string): Promise<number> {
  const tries = await Promise.all(
    context.testbed.members.map((member) =>
      connect(`http://127.0.0.1:${member.port}`, { name, storage: null, timeoutMs: 5_000 }).then(
        (peer) => peer,
        (error: unknown) => {
          if (error instanceof PeerageError) return undefined
          throw error
        },
      ),
    ),
  )
  const winners = tries.filter((peer) => peer !== undefined)
  for (const [i, peer] of winners.entries())
    context.history.add({ type: 'holds', name, who: `${name}-${i}`, since: peer.since })
  for (const [i, peer] of winners.entries()) {
    context.history.add({ type: 'lost', name, who: `${name}-${i}` })
    await peer.leave()
  }
  return winners.length
}
