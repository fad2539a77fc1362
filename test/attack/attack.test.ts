import { expect, test } from 'vitest'
import { attacks } from './attacks.js'
import { runAttacks } from './run.js'

// A short selection, a second each: what is counted, never what is timed. `npm run attack` has all of it, and times.
test('attacks end no node, fill no memory, lose no message of a neighbour and get nothing', async () => {
  const held: Record<string, readonly string[]> = {}
  const chosen = attacks.filter(({ short }) => short === true)
  await runAttacks(chosen, 1, ({ id, faults }) => (held[id] = faults), { brief: true })
  expect(held).toEqual(Object.fromEntries(chosen.map(({ id }) => [id, []])))
}, 180_000)

test('every attack has a name of its own', () => {
  expect(new Set(attacks.map(({ id }) => id)).size).toBe(attacks.length)
})
