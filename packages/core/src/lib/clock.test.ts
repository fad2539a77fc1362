import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { expect, test, vi } from 'vitest'
import { systemClock } from './clock.js'

/** Blocks the event loop. */
function busy(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

test('a deadline passes only after everything that has arrived by then has been read', async () => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const happened: string[] = []
  const both = new Promise<void>((resolve) => {
    const note = (what: string): void => {
      happened.push(what)
      if (happened.length === 2) resolve()
    }
    socket.once('message', () => note('answer'))
    // A datagram to our own port waits in the socket as soon as it is sent, before the event loop reads again.
    socket.send('x', socket.address().port, '127.0.0.1', () => {
      systemClock.after(5, () => note('deadline'))
      busy(20)
    })
  })
  await both
  expect(happened).toEqual(['answer', 'deadline'])
  socket.close()
})

test('after the process was delayed, a late answer still comes before the deadline', async () => {
  // Timers count from the beginning of a turn, so begin a new one.
  await new Promise((resolve) => setImmediate(resolve))
  const happened: string[] = []
  const both = new Promise<void>((resolve) => {
    const note = (what: string): void => {
      happened.push(what)
      if (happened.length === 2) resolve()
    }
    systemClock.after(5, () => note('deadline'))
    // This datagram arrives after the delay, from a peer that was delayed as well.
    setTimeout(() => note('answer'), 220)
  })
  busy(200)
  await both
  expect(happened).toEqual(['answer', 'deadline'])
})

test('a cancelled timer never runs its task', async () => {
  let ran = 0
  const timer = systemClock.after(1, () => ran++)
  await new Promise<void>((resolve) => {
    // Both timers end in the same millisecond. So this timer runs right after the first one, before the first one's task.
    setTimeout(() => {
      timer.cancel()
      setImmediate(() => setImmediate(resolve))
    }, 1)
    busy(5)
  })
  expect(ran).toBe(0)
})

test('a timer that is cancelled during the extra wait after a delay never runs its task', async () => {
  let ran = 0
  const timer = systemClock.after(1, () => ran++)
  const another = new Promise<void>((resolve) => void systemClock.after(1, resolve))
  busy(200)
  // This timer runs after the two timers above, and their extra wait begins here.
  await new Promise((resolve) => setTimeout(resolve, 1))
  timer.cancel()
  await another
  expect(ran).toBe(0)
})

test('a time that is too long for a timer does not pass at once', () => {
  vi.useFakeTimers()
  try {
    let ran = 0
    for (const ms of [Infinity, 2 ** 31, NaN]) systemClock.after(ms, () => ran++)
    vi.advanceTimersByTime(86_400_000)
    expect(ran).toBe(0)
  } finally {
    vi.useRealTimers()
  }
})
