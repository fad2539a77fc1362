import type { Name, NodeMessageOf } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'
import { systemClock } from '../lib/clock.js'
import type { SendResult, Signal, Holder } from '../delivery/signaling.js'
import type { P2PContext } from '../p2p/options.js'
import { platform } from './platform.js'

/** How the network treats signals in a test. `random` decides each case, so the same seed repeats a run. */
export interface NetworkFaults {
  random?: () => number
  /** The longest delay of a signal, in milliseconds. */
  delayMs?: number
  /** The share of signals that never arrive and end as `timeout`, from 0 to 1. */
  loss?: number
  /** Lets signals of one pair overtake each other, which real nodes never do. */
  reorders?: boolean
}

interface Member {
  holder: Holder
  listeners: Set<(signal: Signal) => void>
}

type Report = Parameters<P2PContext['report']>[0]

/** A seeded generator of numbers in [0, 1): a 32-bit linear congruential generator with Knuth's constants. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

export function nameFrom(text: string): Name {
  const parsed = parseName(text)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

/** Carries signals between P2P controllers in memory, in place of the nodes. */
export class Rendezvous {
  readonly reports: (Report & { by: string })[] = []
  readonly errors: unknown[] = []
  readonly sent: { from: string; to: string; handshake: string; body: string }[] = []
  readonly #members = new Map<string, Member>()
  readonly #last = new Map<string, Promise<unknown>>()
  readonly #faults: Required<NetworkFaults>
  #since = 1

  constructor(faults: NetworkFaults = {}) {
    this.#faults = { random: seeded(1), delayMs: 0, loss: 0, reorders: false, ...faults }
  }

  /** The context that a peer of this name gives to its P2P controller. */
  context(name: string, overrides: Partial<P2PContext> = {}): P2PContext {
    const holder: Holder = { name: nameFrom(name), since: this.#since++ }
    const member: Member = { holder, listeners: new Set() }
    this.#members.set(name, member)
    const clock = overrides.clock ?? systemClock
    return {
      self: holder,
      platform,
      clock,
      signaling: {
        send: (to, body, { handshake }) => this.#carry(clock, holder, to, handshake, body),
        onSignal(listener) {
          member.listeners.add(listener)
          return () => member.listeners.delete(listener)
        },
      },
      carriers: { attach: () => () => undefined, kick: () => undefined, receive: () => false },
      welcome: welcomeFor(holder),
      onWelcome: () => () => undefined,
      onClosed: () => () => undefined,
      requestTurn: () => Promise.resolve(undefined),
      report: (report) => void this.reports.push({ ...report, by: name }),
      onError: (error) => void this.errors.push(error),
      ...overrides,
    }
  }

  /** Frees the name. Signals to it end as `unavailable`. */
  leave(name: string): void {
    this.#members.delete(name)
  }

  /** Delivers a signal that our own controllers would not send. */
  inject(from: string, to: string, handshake: string, body: string): void {
    const holder = this.#members.get(from)?.holder ?? { name: nameFrom(from), since: 0 }
    this.#members.get(to)?.listeners.forEach((listener) => listener({ from: holder, handshake, body }))
  }

  async #carry(clock: Clock, from: Holder, to: Name, handshake: string, body: string): Promise<SendResult> {
    const { random, delayMs, loss, reorders } = this.#faults
    this.sent.push({ from: from.name, to, handshake, body })
    const pair = JSON.stringify([from.name, to])
    const isLost = random() < loss
    const travel = new Promise<void>((resolve) => clock.after(random() * delayMs, resolve))
    const before = reorders ? undefined : this.#last.get(pair)
    const arrival = Promise.all([before, travel])
    this.#last.set(pair, arrival)
    await arrival
    if (isLost) return 'timeout'
    const member = this.#members.get(to)
    if (!member || member.listeners.size === 0) return 'unavailable'
    for (const listener of member.listeners) listener({ from, handshake, body })
    return 'delivered'
  }
}

function welcomeFor({ name, since }: Holder): NodeMessageOf<'welcome'> {
  const app = 'default' as NodeMessageOf<'welcome'>['app']
  return {
    type: 'welcome',
    v: 1,
    app,
    name,
    since,
    node: 'testnode',
    // No server answers at this address. On one machine, host candidates are enough.
    p2p: { server: '127.0.0.1:9', turn: null },
    relay: null,
    graceMs: 30_000,
    deadlineMs: 30_000,
    pingMs: 15_000,
  }
}
