import type { Clock } from '@peerage/core'
import { expect, test } from 'vitest'
import type { PingTarget } from './heartbeat.js'
import { Heartbeat } from './heartbeat.js'

/** A clock whose timers fire as late as a test wants. */
function lateClock() {
  let now = 0
  let task = (): void => {}
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    after: (_, then) => {
      task = then
      return { cancel: () => (task = () => {}) }
    },
  }
  const tick = (ms: number): void => {
    now += ms
    task()
  }
  return { clock, tick }
}

function peer() {
  const seen: string[] = []
  const target: PingTarget & { seen: string[] } = {
    heard: true,
    seen,
    ping: () => seen.push('ping'),
    timedOut: () => seen.push('silent'),
  }
  return target
}

test('[PJ15] a peer that misses a ping is reported as silent, once', () => {
  const { clock, tick } = lateClock()
  const heartbeat = new Heartbeat({ clock, pingIntervalMs: 10_000, pingTimeoutMs: 5_000 })
  const one = peer()
  heartbeat.add(one)
  heartbeat.start()
  for (let second = 0; second < 5; second++) tick(1_000)
  expect(one.seen).toEqual(['ping'])
  tick(1_000)
  expect(one.seen).toEqual(['ping', 'silent'])
  heartbeat.delete(one)
  for (let second = 0; second < 20; second++) tick(1_000)
  expect(one.seen).toEqual(['ping', 'silent'])
})

test('[PJ15] after a pause of this process no peer is reported before its answer could be read', () => {
  const { clock, tick } = lateClock()
  const heartbeat = new Heartbeat({ clock, pingIntervalMs: 10_000, pingTimeoutMs: 5_000 })
  const [alive, dead] = [peer(), peer()]
  heartbeat.add(alive)
  heartbeat.add(dead)
  heartbeat.start()
  for (let second = 0; second < 3; second++) tick(1_000)
  expect([alive.seen, dead.seen]).toEqual([['ping'], ['ping']])
  tick(30_000)
  expect([alive.seen, dead.seen]).toEqual([['ping'], ['ping']])
  // The answer that was unread in the socket is read now.
  alive.heard = true
  for (let second = 0; second < 5; second++) tick(1_000)
  expect([alive.seen, dead.seen]).toEqual([['ping'], ['ping', 'silent']])
})
