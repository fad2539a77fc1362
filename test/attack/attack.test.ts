import { expect, test } from 'vitest'
import { attacks } from './attacks.js'
import { runAttacks } from './run.js'

// A short selection, one second each, which checks counts but no times. `npm run attack` runs all of it, with times.
test('[ASVS 17.3.1, 17.3.2] attacks end no node, fill no memory, lose no message of a neighbour and gain nothing', async () => {
  const held: Record<string, readonly string[]> = {}
  const chosen = attacks.filter(({ short }) => short === true)
  await runAttacks(chosen, 1, ({ id, faults }) => (held[id] = faults), { brief: true })
  expect(held).toEqual(Object.fromEntries(chosen.map(({ id }) => [id, []])))
}, 300_000)

test('the name of every attack is unique', () => {
  expect(new Set(attacks.map(({ id }) => id)).size).toBe(attacks.length)
})
