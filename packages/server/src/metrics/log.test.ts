import { RegistryUnavailable } from '@peerage/core'
import { expect, test } from 'vitest'
import { createLogger, errorLog, logEvent } from './log.js'

function capture() {
  const lines: string[] = []
  const log = createLogger('info', { write: (line) => void lines.push(line) }, () => ({ node: 'n' }))
  return { log, records: () => lines.map((line): unknown => JSON.parse(line)), text: () => lines.join('') }
}

test('a line is JSON with its level in a word, the time, the node and what happened', () => {
  const { log, records } = capture()
  log.info({ port: 1 }, 'ready')
  log.debug('not this one')
  expect(records()).toEqual([
    { level: 'info', time: expect.stringMatching(/^\d{4}-.*Z$/), node: 'n', port: 1, msg: 'ready' },
  ])
})

test('whatever carries the name of a secret is redacted', () => {
  const { log, text } = capture()
  const secrets = { token: 'geheim', secret: 'geheim', password: 'geheim', credential: 'geheim' }
  log.info({ ...secrets, inner: secrets, authorization: 'geheim' }, 'claim')
  expect(text()).not.toContain('geheim')
  expect(text()).toContain('[redacted]')
})

test('an outage is a few lines, not a flood; a change of reason is told at once', () => {
  const { log, records } = capture()
  let now = 0
  const onError = errorLog(log, () => now)
  const fail = (text: string): void => onError(new RegistryUnavailable(text), { stage: 'beat' })
  for (let i = 0; i < 1_000; i++) fail('gone')
  onError(new RegistryUnavailable('gone'), { stage: 'bus' })
  fail('loading')
  now = 10_000
  fail('loading')
  expect(records()).toMatchObject([
    { stage: 'beat', error: 'gone' },
    { stage: 'bus', error: 'gone' },
    { stage: 'beat', error: 'loading' },
    { stage: 'beat', error: 'loading' },
  ])
})

test('what was left out is counted in the next line', () => {
  const { log, records } = capture()
  let now = 0
  const onError = errorLog(log, () => now)
  for (let i = 0; i < 5; i++) onError(new Error('gone'), { stage: 'beat' })
  now = 10_000
  onError(new Error('gone'), { stage: 'beat' })
  expect(records().at(-1)).toMatchObject({ repeated: 4 })
})

test('a fault of ours brings its stack, an outage does not', () => {
  const { log, records } = capture()
  const onError = errorLog(log, () => 0)
  onError(new TypeError('bug'), { stage: 'a' })
  onError(new RegistryUnavailable('gone'), { stage: 'b' })
  expect(records()[0]).toHaveProperty('stack')
  expect(records()[1]).not.toHaveProperty('stack')
})

test('of links only what an operator may look into is told: that one broke', () => {
  const { log, records } = capture()
  logEvent(log, 'link up', { to: 'm' })
  for (const reason of ['replaced', 'identity', 'closed', 'unconfirmed', 'full', 'ended'])
    logEvent(log, 'link down', { to: 'm', reason })
  logEvent(log, 'health', { healthy: true, reason: 'closed' })
  expect(records()).toMatchObject([
    { level: 'info', msg: 'link down', reason: 'unconfirmed' },
    { level: 'info', msg: 'link down', reason: 'full' },
    { level: 'info', msg: 'link down', reason: 'ended' },
    { level: 'info', msg: 'health' },
  ])
})
