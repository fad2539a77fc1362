import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { expect, test } from 'vitest'
import { wordsOf } from './errors.js'
import { Reports } from './reports.js'

test('each kind of failure is reported once, not for each retry, and again after ten seconds', async () => {
  const clock = new FakeClock()
  const lines: string[] = []
  const reports = new Reports((error, context) => lines.push(`${context.stage}: ${wordsOf(error)}`), clock)
  const say = (text: string, stage = 'redis connection'): void => reports.onError(new Error(text), { stage })
  say('connect ECONNREFUSED')
  say('connect ECONNREFUSED')
  say('All sentinels are unreachable. Retrying from scratch after 12.5ms.')
  say('All sentinels are unreachable. Retrying from scratch after 25ms. Last error: no route')
  say('All sentinels are unreachable. Retrying from scratch after 50ms.')
  expect(lines).toEqual([
    'redis connection: connect ECONNREFUSED',
    'redis connection: All sentinels are unreachable.',
    'redis connection: All sentinels are unreachable. Last error: no route',
  ])
  await clock.advance(10_000)
  say('connect ECONNREFUSED')
  expect(lines).toHaveLength(4)
})

test('a failure that harms a message is reported each time', () => {
  const lines: unknown[] = []
  const reports = new Reports((error) => lines.push(error), new FakeClock())
  for (let i = 0; i < 3; i++)
    reports.onError(new Error('a payload on the bus is not an envelope'), { stage: 'bus receive' })
  expect(lines).toHaveLength(3)
})

test('an error with several causes becomes one line', () => {
  expect(wordsOf(new AggregateError([new Error('a'), 'b']))).toBe('a; b')
  const all = Object.assign(new Error('no node.'), { lastNodeError: new Error('WRONGPASS') })
  expect(wordsOf(all)).toBe('no node. WRONGPASS')
})
