import type { Peer } from '@peerage/client'
import { connect, PeerageError } from '@peerage/client'
import type { Random } from '@peerage/test-support/random.js'
import type { History } from './history.js'
import type { Seat, Stage, StageOptions } from './stage.js'
import type { Actor, Traffic } from './traffic.js'

export interface Scene {
  stage: Stage
  traffic: Traffic
  history: History
  random: Random
  /** What a fault observed beside the traffic: printed, and checked against its expectation. */
  note(what: string, value: number, expectation?: { atMost?: number; atLeast?: number }): void
}

export interface Fault {
  id: string
  title: string
  /** Outage of a sender at the most, from the injection, p99. */
  outageP99Ms: number
  /** No send may fail, not even with an answer. */
  noFailedSend?: boolean
  /** Injects, waits as long as the fault lasts, and heals. */
  run(scene: Scene): Promise<void>
  /** What the stage is made of, where three nodes on one Redis are not it. */
  stage?: Omit<StageOptions, 'nodes' | 'seed' | 'links'>
  /** Whether the nodes link to each other; where it is absent, the seed decides. */
  links?: boolean
  /** Of each seat's wall clock, as faketime takes it. */
  clockOffsets?: readonly string[]
  /** No traffic: it is about peers that are idle. */
  idle?: boolean
  /** How long two may hold one name, where a store had two primaries: a lease. */
  overlapMs?: number
  /** How long to watch after the injection began: the outage is measured until then. */
  watchMs: number
}

/** The design's table, in milliseconds: what the nodes run with here. */
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
  scene: Scene,
  fault: string,
  target: string,
  act: () => Promise<void> | void,
): Promise<void> {
  scene.history.add({ type: 'inject', fault, target })
  await act()
}

export async function heal(
  scene: Scene,
  fault: string,
  target: string,
  act: () => Promise<void> | void,
): Promise<void> {
  await act()
  scene.history.add({ type: 'heal', fault, target })
}

export async function isReady(seat: Seat): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${seat.port}/readyz`, {
      signal: AbortSignal.timeout(1_000),
    })
    return response.ok
  } catch (error) {
    // Not listening, or stopped: not ready.
    if (error instanceof TypeError || error instanceof DOMException) return false
    throw error
  }
}

export async function isHealthy(seat: Pick<Seat, 'port'>): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${seat.port}/healthz`, {
    signal: AbortSignal.timeout(2_000),
  })
  return response.ok
}

/** How long until a stranger can claim `name`, from now: polled, so a little late. */
export async function untilFree(scene: Scene, name: string, deadlineMs: number): Promise<number> {
  const { url } = scene.stage.haproxy
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

/** All names answer a look-up as online, asked through the balancer. */
export function allOnline(scene: Scene): Promise<number> {
  const [first] = scene.traffic.actors
  if (!first) throw new Error('nobody is here')
  const names = scene.traffic.actors.map((actor) => actor.name)
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

export const victim = (scene: Scene): Seat => scene.random.pick(scene.stage.seats)

/** A peer that holds a name on one node, past the balancer. */
export async function ghostOn(seat: Seat, name: string): Promise<Peer> {
  return connect(`http://127.0.0.1:${seat.port}`, { name, storage: null })
}

export function localPair(traffic: Traffic): [Actor, Actor] {
  for (const a of traffic.actors)
    for (const b of traffic.actors) if (a !== b && a.node !== undefined && a.node === b.node) return [a, b]
  throw new Error('no two peers are on one node')
}

/** Three applications with secrets of their own claim one name at the same time: how many got it. */
export async function race(scene: Scene, name: string): Promise<number> {
  const tries = await Promise.all(
    scene.stage.seats.map((seat) =>
      connect(`http://127.0.0.1:${seat.port}`, { name, storage: null, timeoutMs: 5_000 }).then(
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
    scene.history.add({ type: 'holds', name, who: `${name}-${i}`, since: peer.since })
  for (const [i, peer] of winners.entries()) {
    scene.history.add({ type: 'lost', name, who: `${name}-${i}` })
    await peer.leave()
  }
  return winners.length
}
