import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { linkedPair, type LinkedNode, type LinkedPair } from './testing/linked-pair.js'
import type { TestSocket } from './testing/socket-pair.js'

// Two nodes with traffic, while links begin, end, stall or lose one direction, and the inbox is slow.

type Step =
  | { do: 'send'; from: 'a' | 'b'; count: number }
  | { do: 'link'; by: 'a' | 'b' }
  | { do: 'close' | 'cut' | 'stall' | 'flow'; end: 0 | 1 }
  | { do: 'pass'; ms: number }
  | { do: 'slow'; ms: number }

const end = fc.constantFrom(0 as const, 1 as const)
const side = fc.constantFrom('a' as const, 'b' as const)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      from: side,
      count: fc.integer({ min: 1, max: 8 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('link' as const), by: side }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('close' as const, 'cut' as const, 'stall' as const, 'flow' as const),
      end,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(0, 1, 5, 25, 130, 700) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('slow' as const), ms: fc.constantFrom(0, 1, 10, 300, 900) }),
  },
)

const steps = fc.array(step, { minLength: 10, maxLength: 60, size: 'max' })

async function play(pair: LinkedPair, taken: readonly Step[]): Promise<void> {
  // The first envelope goes over the inbox, and shows that the inbox reaches a subscriber.
  pair.a.send(pair.b, 1)
  pair.b.send(pair.a, 1)
  await pair.pass(0)
  const links: [TestSocket, TestSocket][] = [pair.link()]
  for (const one of taken) {
    const socket = links.at(-1)?.['end' in one ? one.end : 0]
    if (one.do === 'send') pair[one.from].send(one.from === 'a' ? pair.b : pair.a, one.count)
    else if (one.do === 'link') links.push(pair.link(one.by))
    else if (one.do === 'pass') await pair.pass(one.ms)
    else if (one.do === 'slow') pair.inboxes.delayMs = () => one.ms
    else if (one.do === 'close') socket?.destroy()
    else if (one.do === 'cut' && socket !== undefined) socket.cut = true
    else if (one.do === 'stall' && socket !== undefined) socket.stalled = true
    else if (one.do === 'flow') socket?.flow()
  }
  // Frames that were stalled arrive late, after the same envelopes have arrived over the inbox.
  await pair.pass(3_000)
  for (const sockets of links) for (const socket of sockets) socket.flow()
  await pair.pass(3_000)
}

const all = (node: LinkedNode): number[] => Array.from({ length: node.count }, (_, i) => i)

test('[LINK1] [LINK3] whatever happens to links, every envelope arrives once and in order', async () => {
  let overLinks = 0
  await fc.assert(
    fc.asyncProperty(steps, async (taken) => {
      const pair = await linkedPair()
      await play(pair, taken)
      expect(pair.b.received).toEqual(all(pair.a))
      expect(pair.a.received).toEqual(all(pair.b))
      for (const node of [pair.a, pair.b]) {
        expect(node.published.size).toBe(node.count)
        expect(new Set(node.published.values())).toEqual(new Set(node.count === 0 ? [] : ['sent']))
        expect([node.errors, node.undelivered]).toEqual([[], []])
        overLinks += node.bus.counts.envelopes.link
      }
    }),
    { numRuns: 150 },
  )
  expect(overLinks).toBeGreaterThan(1_000)
})

test('[LINK1] if the inbox loses and refuses some envelopes, the others arrive in order, and none twice', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.infiniteStream(fc.nat({ max: 9 })), async (taken, draws) => {
      const pair = await linkedPair()
      pair.inboxes.fate = () => {
        const draw: number = draws.next().value ?? 9
        return draw === 0 ? 'lost' : draw === 1 ? 'refused' : 'arrives'
      }
      await play(pair, taken)
      for (const node of [pair.a, pair.b]) {
        expect(node.received).toEqual([...new Set(node.received)].sort((one, other) => one - other))
        expect(node.errors).toEqual([])
      }
      for (const node of [pair.a, pair.b]) expect(node.published.size).toBe(node.count)
    }),
    { numRuns: 100 },
  )
})

test('[LINK2] [LINK3] if the inbox refuses some envelopes, each sent one arrives or is reported as undelivered', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.infiniteStream(fc.nat({ max: 9 })), async (taken, draws) => {
      const pair = await linkedPair()
      const { clock } = pair
      const later = (ms: number): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve))
      pair.inboxes.fate = () => {
        const draw: number = draws.next().value ?? 9
        if (draw > 2) return 'arrives'
        return draw === 0 ? 'refused' : later(draw * 100).then(() => 'refused' as const)
      }
      await play(pair, taken)
      for (const [from, to] of [
        [pair.a, pair.b],
        [pair.b, pair.a],
      ] as const) {
        expect(to.received).toEqual([...new Set(to.received)].sort((one, other) => one - other))
        const known = new Set([...to.received, ...from.undelivered])
        const silent = [...from.published].filter(([number, sent]) => sent === 'sent' && !known.has(number))
        expect(silent).toEqual([])
      }
    }),
    { numRuns: 150 },
  )
})
