import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Session } from '../tier/session.js'
import type { Carrier, SendResult, Holder } from './signaling.js'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { FakeStorage, nameFrom, openPage } from '../testing/fake-page.js'
import type { Page } from '../testing/fake-page.js'
import { FakeTier } from '../testing/fake-tier.js'
import { seededRandom } from '../testing/random.js'

const NAMES = ['ann', 'bob', 'cas'] as const
type Who = (typeof NAMES)[number]
const who = fc.constantFrom(...NAMES)

type Step =
  | { do: 'send'; from: Who; to: Who; count: number }
  | { do: 'cut' | 'reload' | 'replace' | 'leave' | 'abort'; who: Who }
  | { do: 'channel'; between: [Who, Who] }
  | { do: 'flood'; who: Who }
  | { do: 'wait'; ms: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      from: who,
      to: who,
      count: fc.integer({ min: 1, max: 70 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('cut', 'reload', 'replace', 'leave', 'abort'), who }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('flood' as const), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('channel' as const), between: fc.tuple(who, who) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 2_500 }) }),
  },
)

/** The bound on waiting characters is a multiple of this length. */
const FLOOD = 'x'.repeat(32 * 1024)

interface Handed {
  /** The holder of the name that received it. */
  holder: string
  /** The page load of the sender. `count` numbers its messages. */
  run: string
  count: number
}

/** A few peers on a bad network. Records every message that is sent or handed over. */
class World {
  readonly clock = new FakeClock()
  readonly handed: Handed[] = []
  readonly results = new Map<string, SendResult>()
  readonly tier: FakeTier
  readonly #pages = new Map<Who, { page: Page; storage: FakeStorage; run: string }>()
  readonly #aborts = new Map<Who, AbortController[]>()
  /** The functions that close the open channels, by the names of both ends. */
  readonly #channels = new Map<string, () => void>()
  #runs = 0
  #strangers = 0
  sends = 0
  channels = 0

  constructor(seed: number, loss: number, twice: number, delayMs: number) {
    this.tier = new FakeTier(this.clock, { random: seededRandom(seed), loss, twice, delayMs })
  }

  async load(name: Who, storage: FakeStorage): Promise<void> {
    const page = await openPage(this.tier, name, storage)
    this.#pages.set(name, { page, storage, run: `${name}${++this.#runs}` })
    page.session.events.on('message', (_from, data) => {
      const [run, count] = String(data).split(':')
      const holder = `${name}@${page.session.self.since}`
      this.handed.push({ holder, run: run ?? '', count: Number(count) })
    })
    void page.session.connector.open()
  }

  async step(next: Step): Promise<void> {
    if (next.do === 'wait') return this.clock.advance(next.ms)
    if (next.do === 'send') return this.#send(next.from, next.to, next.count)
    if (next.do === 'channel') return this.#toggle(...next.between)
    const current = this.#pages.get(next.who)
    if (current === undefined) return
    if (next.do === 'flood') return this.#flood(current.page.session)
    switch (next.do) {
      case 'cut':
        return this.tier.cut(next.who)
      case 'abort':
        for (const abort of this.#aborts.get(next.who) ?? []) abort.abort()
        this.#aborts.delete(next.who)
        return
      case 'reload':
        this.#closeChannels(next.who)
        current.page.unload()
        return this.load(next.who, current.storage)
      case 'replace':
        // The grace time is over, and a stranger takes the name.
        this.#closeChannels(next.who)
        current.page.unload()
        this.tier.release(next.who)
        return this.load(next.who, new FakeStorage())
      case 'leave':
        this.#closeChannels(next.who)
        current.page.session.connector.send({ type: 'leave' })
        await this.clock.advance(1)
        current.page.unload()
        return this.load(next.who, new FakeStorage())
    }
  }

  /** Strangers fill a peer's inbox with messages whose predecessor never comes. */
  #flood(session: Session): void {
    if (session.connector.state.state !== 'online') return
    const { carriers, self } = session
    const to = { to: self.name, since: self.since }
    const frame = { type: 'send', ...to, stream: 'streamofeve', base: 1, kind: 'message' }
    const nowhere: Carrier = { send: () => true }
    const send = (from: string, seq: number, body: string): boolean =>
      carriers.receive({ name: nameFrom(from), since: 1 }, { ...frame, seq, body }, nowhere)
    for (let i = 0; i < 6; i++) for (let seq = 2; seq <= 30; seq++) send(`eve${i}`, seq, FLOOD)
    for (let i = 0; i < 100; i++) send(`mal${++this.#strangers}`, 2, 'x')
  }

  /** Opens a channel between two peers, or closes it. Closing it loses the frames in flight. */
  #toggle(one: Who, two: Who): void {
    const key = [one, two].sort().join(' ')
    const close = this.#channels.get(key)
    if (close !== undefined) {
      this.#channels.delete(key)
      return close()
    }
    const [a, b] = [this.#pages.get(one)?.page.session, this.#pages.get(two)?.page.session]
    if (a === b || a?.connector.state.state !== 'online' || b?.connector.state.state !== 'online') return
    let open = true
    const end = (from: Session, to: Session): { carrier: Carrier; holder: Holder } => ({
      holder: { ...to.self },
      carrier: {
        send: (frame) => {
          if (!open) return false
          const { random, delayMs } = this.tier.faults
          if (random() < 0.1) {
            this.clock.after(30, () => from.carriers.kick(to.self.name))
            return 'full'
          }
          const sent: unknown = JSON.parse(JSON.stringify(frame))
          this.clock.after(
            1 + random() * delayMs,
            () => open && to.carriers.receive(self.get(from) ?? from.self, sent, carrierOf(to)),
          )
          return true
        },
      },
    })
    const self = new Map([a, b].map((session) => [session, { ...session.self }]))
    const ends = { a: end(a, b), b: end(b, a) }
    const carrierOf = (session: Session): Carrier => (session === a ? ends.a : ends.b).carrier
    const detach = [
      a.carriers.attach(ends.a.holder, ends.a.carrier),
      b.carriers.attach(ends.b.holder, ends.b.carrier),
    ]
    this.channels++
    this.#channels.set(key, () => {
      open = false
      for (const one of detach) one()
    })
  }

  #closeChannels(name: Who): void {
    for (const [key, close] of this.#channels)
      if (key.includes(name)) {
        this.#channels.delete(key)
        close()
      }
  }

  #send(from: Who, to: Who, count: number): void {
    const current = this.#pages.get(from)
    if (current === undefined) return
    const aborts = this.#aborts.get(from) ?? []
    this.#aborts.set(from, aborts)
    for (let i = 0; i < count; i++) {
      const abort = new AbortController()
      aborts.push(abort)
      const id = `${current.run}:${++this.sends}`
      const message = { to: nameFrom(to), kind: 'message', body: `s${id}`, via: 'p2p-first' } as const
      const result = current.page.session.send({ ...message, signal: abort.signal })
      void result.then((end) => this.results.set(id, end))
    }
  }

  async end(): Promise<void> {
    await this.clock.advance(61_000)
    for (const { page } of this.#pages.values()) page.session.connector.close()
    await settled()
  }
}

test('[WD1] [WD4] [WD15] whatever the network and the channels do, each message is handed over at most once and in order, and its sender learns how it ended', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer(),
      fc.double({ min: 0, max: 0.4, noNaN: true }),
      fc.double({ min: 0, max: 0.4, noNaN: true }),
      fc.integer({ min: 0, max: 3_000 }),
      fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
      async (seed, loss, twice, delayMs, steps) => {
        const world = new World(seed, loss, twice, delayMs)
        for (const name of NAMES) await world.load(name, new FakeStorage())
        await world.clock.advance(50)
        for (const next of steps) await world.step(next)
        await world.end()

        const seen = new Set<string>()
        const latest = new Map<string, number>()
        for (const { holder, run, count } of world.handed) {
          const id = `${run}:${count}`
          expect(seen.has(id), `${id} handed over twice`).toBe(false)
          seen.add(id)
          const pair = `${run}>${holder}`
          expect(count, `order of ${pair}`).toBeGreaterThan(latest.get(pair) ?? 0)
          latest.set(pair, count)
        }
        expect(world.results.size, 'every send ended').toBe(world.sends)
        for (const [id, result] of world.results) {
          if (result === 'delivered')
            expect(seen.has(id), `${id} delivered, but never handed over`).toBe(true)
          expect(['delivered', 'unavailable', 'timeout', 'aborted', 'closed', 'queue-full']).toContain(result)
        }
      },
    ),
    { numRuns: 300 },
  )
}, 120_000)

test('[WD1] on a network without losses, every message to a peer that remains online is delivered', async () => {
  const world = new World(7, 0, 0, 40)
  for (const name of NAMES) await world.load(name, new FakeStorage())
  await world.clock.advance(50)
  await world.step({ do: 'send', from: 'ann', to: 'bob', count: 500 })
  await world.step({ do: 'send', from: 'bob', to: 'bob', count: 5 })
  await world.clock.advance(5_000)
  expect([...world.results.values()].filter((result) => result === 'delivered')).toHaveLength(505)
  expect(world.handed).toHaveLength(505)
})

test('[WD15] a stream that moves between server and channel while messages flow loses and repeats none', async () => {
  const world = new World(11, 0, 0, 60)
  for (const name of NAMES) await world.load(name, new FakeStorage())
  await world.clock.advance(100)
  for (let i = 0; i < 40; i++) {
    await world.step({ do: 'send', from: 'ann', to: 'bob', count: 10 })
    await world.step({ do: 'wait', ms: 37 })
    await world.step({ do: 'channel', between: ['ann', 'bob'] })
  }
  await world.end()
  expect(world.channels).toBe(20)
  expect([...world.results.values()]).toEqual(Array.from({ length: 400 }, () => 'delivered'))
  expect(world.handed.map(({ count }) => count)).toEqual(Array.from({ length: 400 }, (_, i) => i + 1))
})

test('[WD12] a peer that strangers flood all the time receives every message of others', async () => {
  const world = new World(7, 0, 0, 40)
  for (const name of NAMES) await world.load(name, new FakeStorage())
  await world.clock.advance(50)
  for (let i = 0; i < 50; i++) {
    await world.step({ do: 'flood', who: 'bob' })
    await world.step({ do: 'send', from: 'ann', to: 'bob', count: 10 })
    await world.step({ do: 'send', from: 'bob', to: 'cas', count: 2 })
    await world.step({ do: 'wait', ms: 37 })
  }
  await world.end()
  expect([...world.results.values()]).toEqual(Array.from({ length: 600 }, () => 'delivered'))
  expect(world.handed).toHaveLength(600)
})
