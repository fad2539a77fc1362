import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockSet } from './block-set.js'

const block = fc.nat(40)
const change = fc.oneof(
  fc.record({ do: fc.constant('add' as const), first: block, count: fc.integer({ min: 0, max: 12 }) }),
  fc.record({ do: fc.constant('remove' as const), first: block, count: fc.constant(1) }),
)

test('[FT1] a set of blocks does what a Set does', () => {
  fc.assert(
    fc.property(
      fc.nat(40),
      fc.array(block),
      fc.array(change),
      fc.array(block),
      (count, except, changes, others) => {
        const set = BlockSet.all(count, except)
        const model = new Set(Array.from({ length: count }, (_, i) => i).filter((i) => !except.includes(i)))
        for (const { do: what, first, count } of changes)
          if (what === 'remove') expect(set.remove(first)).toBe(model.delete(first))
          else {
            set.add(first, count)
            for (let i = first; i < first + count; i++) model.add(i)
          }
        const sorted = [...model].sort((a, b) => a - b)
        const ranges = set.ranges()
        expect(
          ranges.flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first + i)),
        ).toEqual(sorted)
        for (let i = 1; i < ranges.length; i++)
          expect(ranges[i]?.[0], 'ranges are apart').toBeGreaterThan(
            (ranges[i - 1]?.[0] ?? 0) + (ranges[i - 1]?.[1] ?? 0),
          )
        expect([set.size, set.first, set.rangeCount]).toEqual([model.size, sorted[0], ranges.length])
        for (let i = 0; i < 60; i++) expect(set.has(i)).toBe(model.has(i))
        expect(set.copy().ranges()).toEqual(ranges)
        expect(
          set.firstNotIn(
            BlockSet.all(
              41,
              others.map((i) => i),
            ),
          ),
        ).toBe(sorted.find((i) => i > 40 || others.includes(i)))
      },
    ),
    { numRuns: 500 },
  )
})

test('[FT1] a set that is cut down to a few ranges names all of its blocks, and perhaps others', () => {
  const set = BlockSet.all(100, [10, 20, 30, 99])
  expect(set.ranges(2)).toEqual([
    [0, 10],
    [11, 88],
  ])
  expect(set.ranges(4)).toEqual(set.ranges())
})

test('[FT19] the set of all blocks of the largest file takes one range', () => {
  const set = BlockSet.all(2 ** 32)
  set.remove(2 ** 32 - 1)
  expect([set.size, set.rangeCount, set.has(2 ** 31)]).toEqual([2 ** 32 - 1, 1, true])
})
