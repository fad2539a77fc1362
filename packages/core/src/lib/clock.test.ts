import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { expect, test, vi } from 'vitest'
import { systemClock } from './clock.js'

/** Keeps the process from its sockets and timers. */
function busy(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

test('a deadline passes after what has arrived by then has been read', async () => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const happened: string[] = []
  const both = new Promise<void>((resolve) => {
    const note = (what: string): void => {
      happened.push(what)
      if (happened.length === 2) resolve()
    }
    socket.once('message', () => note('answer'))
    // A datagram to oneself lies in the socket as soon as it is sent; here before the loop comes to read again.
    socket.send('x', socket.address().port, '127.0.0.1', () => {
      systemClock.after(5, () => note('deadline'))
      busy(20)
    })
  })
  await both
  expect(happened).toEqual(['answer', 'deadline'])
  socket.close()
})

test('a machine that was held up has missed no deadline: who is to answer gets a moment, too', async () => {
  // Timers count from when the turn began: a new one.
  await new Promise((resolve) => setImmediate(resolve))
  const happened: string[] = []
  const both = new Promise<void>((resolve) => {
    const note = (what: string): void => {
      happened.push(what)
      if (happened.length === 2) resolve()
    }
    systemClock.after(5, () => note('deadline'))
    // Comes when the hold-up is over, from one that was held up as well.
    setTimeout(() => note('answer'), 220)
  })
  busy(200)
  await both
  expect(happened).toEqual(['answer', 'deadline'])
})

test('a cancelled timer runs nothing, at whatever moment', async () => {
  let ran = 0
  const timer = systemClock.after(1, () => ran++)
  await new Promise<void>((resolve) => {
    // The same millisecond: this timer runs right after the first, before its task.
    setTimeout(() => {
      timer.cancel()
      setImmediate(() => setImmediate(resolve))
    }, 1)
    busy(5)
  })
  expect(ran).toBe(0)
})

test('nor while it waits for a machine that was held up', async () => {
  let ran = 0
  const timer = systemClock.after(1, () => ran++)
  const another = new Promise<void>((resolve) => void systemClock.after(1, resolve))
  busy(200)
  // Runs after those two, which wait from here on.
  await new Promise((resolve) => setTimeout(resolve, 1))
  timer.cancel()
  await another
  expect(ran).toBe(0)
})

test('a time beyond what a timer can count does not pass at once', () => {
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
