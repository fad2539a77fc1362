import { RegistryUnavailable } from '@peerage/core'
import { parseApp, type App } from '@peerage/protocol'
import { describe, expect, test } from 'vitest'
import { createLogger, errorLog, eventLog, refusalLog } from './log.js'
import { prettyLine } from './pretty.js'

function capture() {
  const lines: string[] = []
  const log = createLogger('info', { write: (line) => void lines.push(line) }, () => ({ node: 'n' }))
  return { log, records: () => lines.map((line): unknown => JSON.parse(line)), text: () => lines.join('') }
}

test('a line is JSON with its level as a word, the time, the node and the message', () => {
  const { log, records } = capture()
  log.info({ port: 1 }, 'ready')
  log.debug('not this one')
  expect(records()).toEqual([
    { level: 'info', time: expect.stringMatching(/^\d{4}-.*Z$/), node: 'n', port: 1, msg: 'ready' },
  ])
})

test('a field with the name of a secret is redacted', () => {
  const { log, text } = capture()
  const secrets = { token: 'geheim', secret: 'geheim', password: 'geheim', credential: 'geheim' }
  log.info({ ...secrets, inner: secrets, authorization: 'geheim' }, 'claim')
  expect(text()).not.toContain('geheim')
  expect(text()).toContain('[redacted]')
})

test('an outage is a few lines, not a flood; another reason is logged at once', () => {
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

test('the next line counts the errors that were left out', () => {
  const { log, records } = capture()
  let now = 0
  const onError = errorLog(log, () => now)
  for (let i = 0; i < 5; i++) onError(new Error('gone'), { stage: 'beat' })
  now = 10_000
  onError(new Error('gone'), { stage: 'beat' })
  expect(records().at(-1)).toMatchObject({ repeated: 4 })
})

test('a bug of ours is logged with its stack, an outage without', () => {
  const { log, records } = capture()
  const onError = errorLog(log, () => 0)
  onError(new TypeError('bug'), { stage: 'a' })
  onError(new RegistryUnavailable('gone'), { stage: 'b' })
  expect(records()[0]).toHaveProperty('stack')
  expect(records()[1]).not.toHaveProperty('stack')
})

test('the advice for an operator follows the error', () => {
  const { log, records } = capture()
  const onError = errorLog(
    log,
    () => 0,
    (text) => `${text}; do this`,
  )
  onError(new RegistryUnavailable('gone'), { stage: 'beat' })
  expect(records()).toMatchObject([{ stage: 'beat', error: 'gone; do this' }])
})

test('an event is logged at its level, with the advice for an operator', () => {
  const { log, records } = capture()
  const tell = eventLog(
    log,
    () => 0,
    (text) => `${text}; do this`,
  )
  tell('health', { healthy: false, why: 'gone' })
  tell('lapsed', { why: 'late' })
  tell('signal', { handshake: 'h' })
  tell('draining', {})
  expect(records()).toMatchObject([
    { level: 'warn', msg: 'health', why: 'gone; do this' },
    { level: 'warn', msg: 'lapsed', why: 'late; do this' },
    { level: 'info', msg: 'draining' },
  ])
})

test('of the events of links, only those of a broken link are logged', () => {
  const { log, records } = capture()
  const tell = eventLog(log, () => 0)
  tell('link up', { to: 'm' })
  for (const reason of ['replaced', 'identity', 'closed', 'unconfirmed', 'full', 'ended'])
    tell('link down', { to: 'm', reason })
  tell('health', { healthy: true, reason: 'closed' })
  expect(records()).toMatchObject([
    { level: 'info', msg: 'link down', reason: 'unconfirmed' },
    { level: 'info', msg: 'link down', reason: 'full' },
    { level: 'info', msg: 'link down', reason: 'ended' },
    { level: 'info', msg: 'health' },
  ])
})

// Regression: a node connected to a read-only replica and lost the connection 25 times a second, and logged four lines
// each time.
test('a connection to Redis that is lost again and again is a few lines every ten seconds', () => {
  const { log, records } = capture()
  let now = 0
  const tell = eventLog(log, () => now)
  for (let i = 0; i < 250; i++) {
    tell('health', { healthy: false, why: 'not connected to Redis' })
    tell('health', { healthy: true, why: 'connected to Redis' })
  }
  expect(records()).toHaveLength(10)
  tell('health', { healthy: false, why: 'another reason' })
  expect(records()).toHaveLength(11)
  now = 10_000
  tell('health', { healthy: false, why: 'not connected to Redis' })
  expect(records()).toHaveLength(12)
})

test('refusals of access are counted: one line for each wire and code every ten seconds', () => {
  const { log, records } = capture()
  let now = 0
  const onRefused = refusalLog(log, () => now)
  const refusal = { wire: 'peerjs', code: 'forbidden', detail: 'Invalid key provided' } as const
  for (let i = 0; i < 1_000; i++) onRefused({ ...refusal, origin: `https://${i}.example` })
  onRefused({ wire: 'native', code: 'origin', detail: 'this origin may not connect', origin: 'a\u009bb' })
  now = 10_000
  onRefused(refusal)
  const line = { level: 'info', msg: 'refused' }
  expect(records()).toMatchObject([
    { ...line, wire: 'peerjs', code: 'forbidden', why: 'Invalid key provided', origin: 'https://0.example' },
    { ...line, wire: 'native', code: 'origin', why: 'this origin may not connect' },
    { ...line, wire: 'peerjs', code: 'forbidden', repeated: 999 },
  ])
  expect(records()[1]).not.toHaveProperty('origin')
})

test('failures that take turns are as few lines, and a fault of another server has no stack', () => {
  const { log, records } = capture()
  let now = 0
  const onError = errorLog(log, () => now)
  const fail = (text: string): void => onError(new Error(text), { stage: 'access webhook' })
  for (let i = 0; i < 100; i++) for (const text of ['answers with status 500', 'is no JSON']) fail(text)
  expect(records()).toMatchObject([
    { stage: 'access webhook', error: 'answers with status 500' },
    { stage: 'access webhook', error: 'is no JSON' },
  ])
  expect(records()[0]).not.toHaveProperty('stack')
  // However many texts there are, there are few lines.
  for (let i = 0; i < 1_000; i++) fail(`status ${i}`)
  expect(records()).toHaveLength(31)
  now = 10_000
  fail('is no JSON')
  expect(records().at(-1)).toMatchObject({ error: 'is no JSON', repeated: 99 })
})

test('refusals with different apps or reasons are all logged, up to a number of lines', () => {
  const { log, records } = capture()
  let now = 0
  const onRefused = refusalLog(log, () => now)
  const app = (text: string): App => {
    const parsed = parseApp(text)
    if (!parsed.ok) throw new Error(parsed.problem)
    return parsed.value
  }
  const refusal = { wire: 'y-webrtc', code: 'forbidden' } as const
  const different = [
    { ...refusal, app: app('chat'), detail: 'the key is missing or wrong' },
    { ...refusal, detail: 'this app is not served here' },
    { ...refusal, app: app('pages'), detail: 'this origin may not connect' },
    { ...refusal, app: app('chat'), detail: 'this origin may not connect' },
  ]
  for (let i = 0; i < 3; i++) for (const one of different) onRefused(one)
  expect(records()).toMatchObject(
    different.map(({ detail, ...one }) => ({ msg: 'refused', ...one, why: detail })),
  )
  expect(records()[1]).not.toHaveProperty('app')
  for (let i = 0; i < 10_000; i++) onRefused({ ...refusal, app: app(`app-${i}`), detail: 'no' })
  expect(records()).toHaveLength(101)
  now = 10_000
  for (const one of different) onRefused(one)
  expect(records().slice(101)).toMatchObject([
    { app: 'chat', why: 'the key is missing or wrong', repeated: 2 },
    { repeated: 2 },
    { app: 'pages', repeated: 2 },
    { app: 'chat', repeated: 2 },
  ])
  for (let i = 0; i < 10_000; i++) onRefused({ ...refusal, app: app(`more-${i}`), detail: 'no' })
  expect(records()).toHaveLength(202)
})

test('a refusal without a text of ours is logged by its code', () => {
  const { log, records } = capture()
  const onRefused = refusalLog(log, () => 0)
  onRefused({ wire: 'native', code: 'forbidden' })
  expect(records()).toMatchObject([{ msg: 'refused', wire: 'native', code: 'forbidden' }])
  expect(records()[0]).not.toHaveProperty('why')
})

describe('a line for people', () => {
  const time = new Date(2026, 10, 30, 4, 5, 6).toISOString()
  const pretty = (record: Record<string, unknown>, isColored = false): string =>
    prettyLine(`${JSON.stringify({ level: 'warn', time, node: 'n', ...record })}\n`, isColored)

  test('has the time of day, the level, the message with its reason, then the other fields', () => {
    expect(pretty({ msg: 'failed', stage: 'beat', error: 'gone', repeated: 4, links: null })).toBe(
      '04:05:06 WARN  failed: gone stage=beat repeated=4\n',
    )
    expect(pretty({ level: 'info', msg: 'health', healthy: true, why: 'connected' })).toBe(
      '04:05:06 INFO  health: connected healthy=true\n',
    )
    expect(pretty({ level: 'info', msg: 'ready', p2p: { port: 9001 } })).toBe(
      '04:05:06 INFO  ready p2p.port=9001\n',
    )
  })

  test('is followed by the stack of a bug', () => {
    const stack = 'TypeError: bug\n    at f (a.js:1:2)\n    at g (a.js:3:4)'
    expect(pretty({ msg: 'failed', error: 'bug', stack })).toBe(
      '04:05:06 WARN  failed: bug\n    at f (a.js:1:2)\n    at g (a.js:3:4)\n',
    )
  })

  test('colors the level', () => {
    expect(pretty({ msg: 'failed' }, true)).toContain('\u001B[33mWARN \u001B[0m failed')
  })

  test('stays as it is where it is no line of the logger', () => {
    expect(prettyLine('plain words\n', true)).toBe('plain words\n')
  })
})
