import { expect, test } from 'vitest'
import { FakePair, MIB } from '../../testing/fake-transfers.js'
import { isEqual } from '../../testing/fake-files.js'
import { seededRandom } from '../../testing/random.js'

test('[FT7] a damaged block is asked for again, also for a stream, and one that came twice is ignored', async () => {
  for (const inOrder of [false, true])
    for (let seed = 1; seed <= 8; seed++) {
      const pair = new FakePair()
      pair.b.store.inOrder = inOrder
      const random = seededRandom(seed)
      let bad = 3
      await pair.attach({
        random: seededRandom(seed + 100),
        tap: (message, from) => {
          if (typeof message === 'string') return message
          const copy = message.slice()
          if (bad > 0 && random() < 0.2) {
            bad--
            copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1
          }
          // Everything comes twice, within the credit.
          if (random() < 0.2 && message[0] === 2) pair.conduits?.inject(from === 'a' ? 'b' : 'a', message)
          return copy
        },
      })
      const [source] = await pair.send(12.5 * MIB)
      expect([pair.a.states(), pair.b.states()], `seed ${seed}`).toEqual([['complete'], ['complete']])
      expect(isEqual(pair.b.store.finished.get('files/0.bin'), source?.bytes)).toBe(true)
      expect(pair.errors).toEqual([])
    }
}, 60_000)

test('[FT7] after 33 damaged blocks the file ends on both sides', async () => {
  const pair = new FakePair()
  pair.b.store.beforePut = async ({ path }) => path !== 'files/0.bin'
  await pair.attach()
  await pair.send(2 * MIB, MIB)
  expect([pair.a.states(), pair.b.states()]).toEqual([
    ['ended: error-there', 'complete'],
    ['ended: error-there', 'complete'],
  ])
  expect(pair.a.detail()).toBe('too many blocks of the file arrived damaged')
})
