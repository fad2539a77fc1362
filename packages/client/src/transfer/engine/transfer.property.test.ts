import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { fakeConduits } from '../../testing/fake-conduit.js'
import type { FakeConduits } from '../../testing/fake-conduit.js'
import { FakeSource, FakeStore, someBytes } from '../../testing/fake-files.js'
import { seededRandom } from '../../testing/random.js'
import type { SharedFile } from '../sharing.js'
import type { Message, TransferFile, TransferText } from '../types.js'
import { StoreError } from '../types.js'
import { ASSEMBLY_BYTES_MAX, WINDOW_BYTES } from './limits.js'
import { Transfer } from './transfer.js'

const MIB = 1_024 * 1_024
type Side = 'a' | 'b'
const SIDES = ['a', 'b'] as const
const side = fc.constantFrom(...SIDES)
const size = fc.constantFrom(0, 1, 70_000, MIB - 1, MIB, MIB + 1, 2.5 * MIB, 4 * MIB, 9.25 * MIB)

type Step =
  | { do: 'cut'; gap: number }
  | { do: 'reload'; side: Side; gap: number }
  | { do: 'pause' | 'resume' | 'hold'; side: Side; on: boolean }
  | { do: 'cancel' | 'vanish' | 'full'; side: Side; file: number }
  | { do: 'text'; side: Side }
  | { do: 'run'; turns: number }

const gap = fc.integer({ min: 0, max: 30 })
const file = fc.nat(3)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('run' as const), turns: fc.nat(2_000) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('cut' as const), gap }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reload' as const), side, gap }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('pause', 'resume', 'hold'), side, on: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('cancel', 'vanish', 'full'), side, file }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('text' as const), side }) },
)

interface Options {
  seed: number
  sizes: { a: number[]; b: number[] }
  inOrder: boolean
  bad: number
}

/** Two transfers over conduits that break, reorder and damage. */
class World {
  readonly clock = new FakeClock()
  readonly random: () => number
  readonly errors: unknown[] = []
  readonly stores = { a: new FakeStore(), b: new FakeStore() }
  readonly files: Record<Side, (SharedFile & { source: FakeSource })[]>
  readonly sent: Record<Side, string[]> = { a: [], b: [] }
  readonly transfers: Record<Side, Transfer>
  readonly #bad: number
  #conduits: FakeConduits | undefined
  isBreaking = true

  constructor({ seed, sizes, inOrder, bad }: Options) {
    this.random = seededRandom(seed)
    this.#bad = bad
    const share = (side: Side) =>
      sizes[side].map((size, i) => {
        const source = new FakeSource(`${side}/${i}`, someBytes(size, seed + 10 * i + (side === 'a' ? 0 : 5)))
        return { id: 7 * i + 1, ...source.info, source }
      })
    this.files = { a: share('a'), b: share('b') }
    for (const side of SIDES) this.stores[side].inOrder = inOrder
    this.transfers = { a: this.#make('a'), b: this.#make('b') }
  }

  #make(side: Side): Transfer {
    const report = (error: unknown): unknown => this.errors.push(error)
    const transfer = new Transfer({
      store: this.stores[side],
      share: 's',
      clock: this.clock,
      onError: report,
      onBroken: report,
    })
    transfer.offerShared(this.files[side])
    // Accepts all, as soon as it is offered.
    transfer.onChange(() => {
      const keys = filesOf(transfer, 'in')
        .filter(({ state }) => state.name === 'offered')
        .map(({ key }) => key)
      if (keys.length > 0) transfer.accept(keys)
    })
    return transfer
  }

  async run(turns: number): Promise<void> {
    for (let i = 0; i < turns; i++) await Promise.resolve()
  }

  async reconnect(gap: number): Promise<void> {
    this.#conduits?.cut()
    const order = this.random() < 0.5 ? SIDES : (['b', 'a'] as const)
    for (const side of order) {
      if (this.random() < 0.5) this.transfers[side].detach()
      await this.run(gap)
    }
    const conduits = fakeConduits({
      random: this.random,
      messageBytesMax: 65_536 + 13,
      tap: (message) => this.#damage(message),
    })
    this.#conduits = conduits
    for (const side of order) {
      this.transfers[side].attach(conduits[side])
      await this.run(gap)
    }
  }

  #damage(message: Message): Message {
    if (typeof message === 'string' || !this.isBreaking || this.random() >= this.#bad) return message
    const copy = message.slice()
    copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1
    return copy
  }

  async step(next: Step): Promise<void> {
    if (next.do === 'run') return this.run(next.turns)
    if (next.do === 'cut') return this.reconnect(next.gap)
    const transfer = this.transfers[next.side]
    switch (next.do) {
      case 'reload':
        this.#conduits?.cut()
        transfer.detach()
        await settled()
        this.transfers[next.side] = this.#make(next.side)
        return this.reconnect(next.gap)
      case 'hold':
        return transfer.hold(next.on)
      case 'pause':
        return transfer.pause(next.on ? undefined : transfer.state.items.slice(0, 1).map(({ key }) => key))
      case 'resume':
        return transfer.resume()
      case 'text':
        this.sent[next.side].push(`${next.side} ${this.sent[next.side].length}`)
        return transfer.sendText(this.sent[next.side].at(-1) ?? '')
      case 'cancel':
        return transfer.cancel(
          filesOf(transfer, 'in')
            .slice(next.file, next.file + 1)
            .map(({ key }) => key),
        )
      case 'vanish': {
        const source = this.files[next.side][next.file]?.source
        if (source !== undefined) source.bytes = new Uint8Array(3)
        return
      }
      case 'full': {
        let isFull = false
        this.stores[next.side].beforePut = async () => {
          if (isFull) return
          isFull = true
          throw new StoreError('full', 'the disk is full')
        }
      }
    }
  }

  async end(): Promise<void> {
    this.isBreaking = false
    for (const side of SIDES) {
      this.transfers[side].hold(false)
      this.transfers[side].resume()
    }
    await this.reconnect(0)
    await settled()
    await this.clock.advance(300_000)
  }
}

const filesOf = (transfer: Transfer, direction: 'in' | 'out'): TransferFile[] =>
  transfer.state.items.flatMap((item) => (item.kind === 'file' && item.direction === direction ? [item] : []))

const textsOf = (transfer: Transfer, direction: 'in' | 'out'): TransferText[] =>
  transfer.state.items.flatMap((item) => (item.kind === 'text' && item.direction === direction ? [item] : []))

/** The sums are those of the files that were accepted and have not ended, at every moment. */
function expectSums(transfer: Transfer): void {
  for (const direction of ['in', 'out'] as const) {
    const files = filesOf(transfer, direction)
    // A file that is only offered, and that its sender has paused, stands as paused on the side of the sender.
    const mayCount = files.filter(({ state }) => state.name !== 'offered' && state.name !== 'ended')
    const counts = mayCount.filter(({ state }) => direction === 'in' || state.name !== 'paused')
    const { files: number, filesComplete, bytes, bytesDone } = transfer.state[direction]
    const sum = (all: TransferFile[], field: 'size' | 'bytesDone'): number =>
      all.reduce((total, file) => total + file[field], 0)
    for (const [got, least, most] of [
      [number, counts.length, mayCount.length],
      [bytes, sum(counts, 'size'), sum(mayCount, 'size')],
      [bytesDone, sum(counts, 'bytesDone'), sum(mayCount, 'bytesDone')],
    ] as const) {
      expect(got).toBeGreaterThanOrEqual(least)
      expect(got).toBeLessThanOrEqual(most)
    }
    expect(filesComplete).toBe(files.filter(({ state }) => state.name === 'complete').length)
  }
}

test('the sums of progress are those of the items, after whatever happens', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        seed: fc.nat(),
        sizes: fc.record({ a: fc.array(size, { maxLength: 4 }), b: fc.array(size, { maxLength: 3 }) }),
      }),
      fc.array(step, { maxLength: 12 }),
      async (options, steps) => {
        const world = new World({ ...options, inOrder: false, bad: 0.01 })
        for (const side of SIDES) world.transfers[side].onChange(() => expectSums(world.transfers[side]))
        await world.reconnect(0)
        for (const next of steps) {
          await world.step(next)
          for (const side of SIDES) expectSums(world.transfers[side])
        }
        await world.end()
        for (const side of SIDES) {
          expectSums(world.transfers[side])
          const complete = filesOf(world.transfers[side], 'in').filter(
            ({ state }) => state.name === 'complete',
          )
          world.transfers[side].remove(complete.slice(0, 1).map(({ key }) => key))
          expectSums(world.transfers[side])
        }
        expect(world.errors).toEqual([])
      },
    ),
    { numRuns: 30 },
  )
}, 240_000)

test('[FT1] [FT5] [FT6] [FT13] [FT17] whatever the conduits do, a file is complete on both sides with equal bytes or ended on both with a reason, and texts arrive once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        seed: fc.nat(),
        sizes: fc.record({ a: fc.array(size, { maxLength: 4 }), b: fc.array(size, { maxLength: 2 }) }),
        inOrder: fc.boolean(),
        bad: fc.constantFrom(0, 0, 0.01, 0.1),
      }),
      fc.array(step, { maxLength: 16 }),
      async (options, steps) => {
        const world = new World(options)
        await world.reconnect(0)
        for (const next of steps) await world.step(next)
        await world.end()
        expect(world.errors).toEqual([])
        const isReloaded = steps.some(({ do: what }) => what === 'reload')
        for (const [from, to] of [
          ['a', 'b'],
          ['b', 'a'],
        ] as const) {
          const there = new Map(filesOf(world.transfers[to], 'in').map((file) => [file.id, file]))
          for (const file of filesOf(world.transfers[from], 'out')) {
            const other = there.get(file.id)
            const states = `${JSON.stringify(file.state)} ${JSON.stringify(other?.state)}`
            expect(['complete', 'ended'], states).toContain(file.state.name)
            // A receiver that has reloaded does not hear of files that the sender had ended.
            if (other !== undefined || file.state.name !== 'ended' || !isReloaded)
              expect(other?.state.name, states).toBe(file.state.name)
            if (file.state.name !== 'complete') continue
            const source = world.files[from].find(({ id }) => id === file.id)?.source
            const got = world.stores[to].finished.get(file.path)
            const isEqual =
              source !== undefined &&
              got !== undefined &&
              (Buffer.from(source.bytes).equals(got) || source.bytes.length === 3)
            expect(isEqual, 'equal bytes').toBe(true)
          }
        }
        for (const [from, to] of [
          ['a', 'b'],
          ['b', 'a'],
        ] as const) {
          const got = textsOf(world.transfers[to], 'in').map(({ text }) => text)
          const numbers = got.map((text) => Number(text.split(' ')[1]))
          expect(numbers, 'once and in order').toEqual([...new Set(numbers)].sort((x, y) => x - y))
          expect(textsOf(world.transfers[from], 'out').every(({ isDelivered }) => isDelivered)).toBe(true)
          if (!isReloaded) expect(got).toEqual(world.sent[from])
        }
        for (const side of SIDES) {
          const { held, assembled } = world.transfers[side].mostInMemory
          expect(held).toBeLessThanOrEqual(WINDOW_BYTES)
          expect(assembled).toBeLessThanOrEqual(ASSEMBLY_BYTES_MAX)
        }
      },
    ),
    { numRuns: 60 },
  )
}, 240_000)
