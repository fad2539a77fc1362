import { expect, test } from 'vitest'
import { FakeClock } from './fake-clock.js'

test.each(['advance', 'advanceSync'] as const)(
  'timers run in order, each at its own time (%s)',
  async (advance) => {
    const clock = new FakeClock()
    const start = clock.now()
    const ran: [string, number][] = []
    const wait = (what: string, ms: number) => clock.after(ms, () => ran.push([what, clock.monotonic()]))
    wait('late', 30)
    wait('first of two', 20)
    wait('second of two', 20)
    wait('cancelled', 5).cancel()
    clock.after(10, () => wait('set meanwhile', 5))
    await clock[advance](29)
    expect(ran).toEqual([
      ['set meanwhile', 15],
      ['first of two', 20],
      ['second of two', 20],
    ])
    expect([clock.monotonic(), clock.now() - start, clock.pending]).toEqual([29, 29, 1])
    clock.jump(1_000)
    expect([clock.monotonic(), clock.now() - start]).toEqual([29, 1_029])
    await clock[advance](1)
    expect(clock.pending).toBe(0)
  },
)

test('everything that a timer starts has run before the next timer', async () => {
  const clock = new FakeClock()
  const ran: string[] = []
  clock.after(1, () => {
    void (async () => {
      for (let turn = 0; turn < 100; turn++) await Promise.resolve()
      ran.push('promise')
    })()
  })
  clock.after(2, () => ran.push('timer'))
  await clock.advance(2)
  expect(ran).toEqual(['promise', 'timer'])
})
