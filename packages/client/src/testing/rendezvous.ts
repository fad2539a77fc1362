import type { Name, NodeMessageOf } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'
import { systemClock } from '../lib/clock.js'
import type { SendResult, Signal, Stay } from '../delivery/signaling.js'
import type { P2PContext } from '../p2p/options.js'
import { platform } from './platform.js'

/** How signals travel in a test: each delay is drawn from `random`, so a seed repeats a run. */
export interface Weather {
  random?: () => number
  delayMs?: number
  /** Share of signals that never arrive and end as `timeout`. */
  loss?: number
  /** Lets signals of one pair overtake each other, as no tier should. */
  reorders?: boolean
}

interface Seat {
  stay: Stay
  listeners: Set<(signal: Signal) => void>
}

type Report = Parameters<P2PContext['report']>[0]

/** A repeatable source of numbers in [0, 1): a 32-bit linear congruential generator (Knuth's constants). */
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

/** A tier in memory: carries signals between the contexts that it makes. */
export class Rendezvous {
  readonly reports: (Report & { by: string })[] = []
  readonly errors: unknown[] = []
  readonly sent: { from: string; to: string; handshake: string; body: string }[] = []
  readonly #seats = new Map<string, Seat>()
  readonly #last = new Map<string, Promise<unknown>>()
  readonly #weather: Required<Weather>
  #since = 1

  constructor(weather: Weather = {}) {
    this.#weather = { random: seeded(1), delayMs: 0, loss: 0, reorders: false, ...weather }
  }

  /** What a peer of this name would give its P2P controller. */
  context(name: string, overrides: Partial<P2PContext> = {}): P2PContext {
    const seat: Seat = { stay: { name: nameFrom(name), since: this.#since++ }, listeners: new Set() }
    this.#seats.set(name, seat)
    const clock = overrides.clock ?? systemClock
    return {
      self: seat.stay,
      platform,
      clock,
      signaling: {
        send: (to, body, { handshake }) => this.#carry(clock, seat.stay, to, handshake, body),
        onSignal(listener) {
          seat.listeners.add(listener)
          return () => seat.listeners.delete(listener)
        },
      },
      carriers: { attach: () => () => undefined, kick: () => undefined, receive: () => false },
      welcome: welcomeFor(seat.stay),
      onWelcome: () => () => undefined,
      onClosed: () => () => undefined,
      requestTurn: () => Promise.resolve(undefined),
      report: (report) => void this.reports.push({ ...report, by: name }),
      onError: (error) => void this.errors.push(error),
      ...overrides,
    }
  }

  /** The name is free again; signals to it end as `unavailable`. */
  leave(name: string): void {
    this.#seats.delete(name)
  }

  /** A signal that no controller of ours would send. */
  inject(from: string, to: string, handshake: string, body: string): void {
    const stay = this.#seats.get(from)?.stay ?? { name: nameFrom(from), since: 0 }
    this.#seats.get(to)?.listeners.forEach((listener) => listener({ from: stay, handshake, body }))
  }

  async #carry(clock: Clock, from: Stay, to: Name, handshake: string, body: string): Promise<SendResult> {
    const { random, delayMs, loss, reorders } = this.#weather
    this.sent.push({ from: from.name, to, handshake, body })
    const pair = JSON.stringify([from.name, to])
    const isLost = random() < loss
    const travel = new Promise<void>((resolve) => clock.after(random() * delayMs, resolve))
    const before = reorders ? undefined : this.#last.get(pair)
    const arrival = Promise.all([before, travel])
    this.#last.set(pair, arrival)
    await arrival
    if (isLost) return 'timeout'
    const seat = this.#seats.get(to)
    if (!seat || seat.listeners.size === 0) return 'unavailable'
    for (const listener of seat.listeners) listener({ from, handshake, body })
    return 'delivered'
  }
}

function welcomeFor(stay: Stay): NodeMessageOf<'welcome'> {
  const app = 'default' as NodeMessageOf<'welcome'>['app']
  return {
    type: 'welcome',
    v: 1,
    app,
    name: stay.name,
    since: stay.since,
    node: 'testnode',
    // Nobody answers there; host candidates are enough on one machine.
    p2p: { server: '127.0.0.1:9', turn: null },
    relay: null,
    graceMs: 30_000,
    deadlineMs: 30_000,
    pingMs: 15_000,
  }
}
