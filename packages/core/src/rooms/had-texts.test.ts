import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { HadTexts } from './had-texts.js'

test('each number of each sender is taken once, in whatever order they come', () => {
  const arrival = fc.tuple(fc.constantFrom('a', 'b'), fc.integer({ min: 1, max: 60 }))
  fc.assert(
    fc.property(fc.array(arrival, { maxLength: 200 }), (arrivals) => {
      const had = new HadTexts()
      const seen = new Set<string>()
      for (const [sender, number] of arrivals) {
        expect(had.take(sender, number)).toBe(!seen.has(`${sender} ${number}`))
        seen.add(`${sender} ${number}`)
      }
    }),
  )
})

test('with too many gaps, the texts of the oldest ones count as had, and nothing is taken twice', () => {
  const had = new HadTexts()
  for (let number = 2; number <= 2_000; number += 2) expect(had.take('a', number)).toBe(true)
  const taken = (): number =>
    Array.from({ length: 2_000 }, (_, i) => had.take('a', i + 1)).filter(Boolean).length
  expect([taken(), taken()]).toEqual([64, 0])
})

test('of 1,001 senders the first one is forgotten', () => {
  const had = new HadTexts()
  for (let i = 0; i <= 1_000; i++) had.take(`s${i}`, 1)
  expect([had.take('s1', 1), had.take('s1000', 1), had.take('s0', 1)]).toEqual([false, false, true])
})
