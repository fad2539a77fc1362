import { describe, expect, test } from 'vitest'
import { check, isClean, outages, percentile } from './checker.js'
import type { Event } from './history.js'

const rules = { overlapMs: 1_000, endMs: 100_000, deadlineMs: 30_000 }

/** A history in which two peers exchange ten messages, and nothing goes wrong. */
function clean(): Event[] {
  const events: Event[] = [
    { type: 'holds', at: 0, name: 'alice', who: 'A', since: 1 },
    { type: 'holds', at: 0, name: 'bob', who: 'B', since: 2 },
  ]
  for (let i = 0; i < 10; i++) {
    const [at, id] = [10 + i * 10, `m${i}`]
    events.push({ type: 'send', at, id, from: 'alice', to: 'bob', order: i })
    events.push({ type: 'received', at: at + 1, id, to: 'bob', since: 2 })
    events.push({ type: 'settled', at: at + 2, id, outcome: 'delivered' })
  }
  return events
}

describe('the checker', () => {
  test('accepts a history in which nothing went wrong', () => {
    const verdict = check(clean(), rules)
    expect(verdict).toMatchObject({ sent: 10, acknowledged: 10, received: 10 })
    expect(isClean(verdict)).toBe(true)
  })

  test('rejects a planted loss', () => {
    const events = clean().filter((event) => !(event.type === 'received' && event.id === 'm4'))
    expect(check(events, rules).lost).toEqual(['m4'])
    expect(isClean(check(events, rules))).toBe(false)
  })

  test('does not call a send lost if its sender was told that it failed', () => {
    const events = clean()
      .filter((event) => !(event.type === 'received' && event.id === 'm4'))
      .map((event) =>
        event.type === 'settled' && event.id === 'm4' ? { ...event, outcome: 'timeout' as const } : event,
      )
    expect(isClean(check(events, rules))).toBe(true)
  })

  test('rejects a planted double delivery, also of a send that timed out', () => {
    const events = clean()
    events.push({ type: 'received', at: 500, id: 'm9', to: 'bob', since: 2 })
    expect(check(events, rules).doubled).toEqual(['m9'])
    expect(isClean(check(events, rules))).toBe(false)
  })

  test('rejects a message that a second holder of the name received, too', () => {
    const events = clean()
    events.push({ type: 'received', at: 500, id: 'm9', to: 'bob', since: 99 })
    expect(check(events, rules).strangers).toEqual(['m9'])
  })

  test('rejects a planted reorder', () => {
    const events = clean()
    const at = (id: string): number =>
      events.findIndex((event) => event.type === 'received' && event.id === id)
    const [three, seven] = [at('m3'), at('m7')]
    const [a, b] = [events[three], events[seven]]
    if (!a || !b) throw new Error('the history has changed')
    // m3 now arrives right after m7.
    const moved = [
      ...events.slice(0, three),
      ...events.slice(three + 1, seven + 1),
      a,
      ...events.slice(seven + 1),
    ]
    expect(check(moved, rules).reordered).toEqual(['m3'])
    expect(isClean(check(moved, rules))).toBe(false)
  })

  test('rejects a planted second holder, with or without an end', () => {
    const events = clean()
    events.push({ type: 'holds', at: 200, name: 'bob', who: 'C', since: 3 })
    expect(check(events, rules).heldTwice).toMatchObject([{ name: 'bob', by: ['B', 'C'] }])
    events.push({ type: 'lost', at: 5_000, name: 'bob', who: 'B' })
    expect(check(events, rules).heldTwice).toMatchObject([{ fromMs: 200, forMs: 4_800 }])
    expect(isClean(check(events, rules))).toBe(false)
  })

  test('allows a former holder the time until it is told', () => {
    const events = clean()
    events.push({ type: 'holds', at: 200, name: 'bob', who: 'C', since: 3 })
    events.push({ type: 'lost', at: 900, name: 'bob', who: 'B' })
    expect(isClean(check(events, rules))).toBe(true)
  })

  test('rejects an unanswered send, but not one that is still young when the history ends', () => {
    const events = clean()
    events.push({ type: 'send', at: 60_000, id: 'old', from: 'alice', to: 'bob', order: 10 })
    events.push({ type: 'send', at: 99_000, id: 'young', from: 'alice', to: 'bob', order: 11 })
    expect(check(events, rules).unsettled).toEqual(['old'])
  })

  test('refuses a history with a receipt that nobody sent', () => {
    const events: Event[] = [{ type: 'received', at: 1, id: 'ghost', to: 'bob', since: 2 }]
    expect(() => check(events, rules)).toThrow('ghost')
  })

  test('an outage lasts until the first send that was made after the injection is delivered', () => {
    const events = clean()
    events.push({ type: 'send', at: 990, id: 'before', from: 'alice', to: 'bob', order: 10 })
    events.push({ type: 'send', at: 1_010, id: 'during', from: 'alice', to: 'bob', order: 11 })
    events.push({ type: 'settled', at: 1_100, id: 'before', outcome: 'delivered' })
    events.push({ type: 'settled', at: 3_000, id: 'during', outcome: 'delivered' })
    expect(outages(events, 1_000, 10_000)).toEqual([2_000])
    expect(outages(events.slice(0, -1), 1_000, 10_000)).toEqual([9_000])
  })

  test('percentiles are values that occurred', () => {
    expect(percentile([5, 1, 3], 0.5)).toBe(3)
    expect(percentile([5, 1, 3], 0.99)).toBe(5)
    expect(percentile([], 0.5)).toBe(0)
  })
})
