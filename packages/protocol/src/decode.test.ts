import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CloseReason } from './close.js'
import { chosenCode, closeCodes, closeReasonOf, closeTextOf, finalTexts, mayReconnect } from './close.js'
import {
  decodeFrame,
  decodeHello,
  decodeNodeMessage,
  encodeNodeMessage,
  encodeStamped,
  stampOf,
} from './decode.js'
import { errorTexts, isErrorCode, temporary } from './errors.js'
import { limits } from './limits.js'
import { parseName } from './ids.js'

const send = { to: 'bob', since: 1, stream: 'A'.repeat(11), seq: 1, base: 1, kind: 'message', body: 'hi' }
const frame = (type: string, fields: unknown): string => `42${JSON.stringify([type, fields])}`
const refusal = (text: string): { code: string; detail: string } => {
  const decoded = decodeFrame(text)
  if (decoded.ok) throw new Error(`accepted ${text.slice(0, 80)}`)
  return decoded.error
}

describe('frames', () => {
  test('[WF1] an event with one object is a message', () => {
    expect(decodeFrame(frame('send', send))).toEqual({ ok: true, value: { type: 'send', ...send } })
    expect(decodeFrame('42["leave",{}]')).toEqual({ ok: true, value: { type: 'leave' } })
    expect(decodeFrame('42["leave",{"onlyNew":true}]')).toEqual({
      ok: true,
      value: { type: 'leave', onlyNew: true },
    })
  })

  test.each([
    '42',
    '42[',
    '42{}',
    '42[]',
    '42["send"]',
    '42["send",{},{}]',
    '42[7,{}]',
    '42null',
    '421["send",{}]',
  ])('[WF1] %s is a bad frame', (text) => {
    expect(refusal(text).code).toBe('bad-frame')
  })

  test('[WF1] the fields are an object, not a list, a string or null', () => {
    for (const fields of [null, [], 'x', 7]) expect(refusal(frame('send', fields)).code).toBe('bad-field')
  })

  test('[WF3] the error for an unknown type names the type', () => {
    expect(refusal(frame('shout', {}))).toMatchObject({
      code: 'unknown-type',
      detail: expect.stringContaining('shout'),
    })
  })

  test.each([
    ['since', -1],
    ['since', 1.5],
    ['since', '1'],
    ['stream', 'short'],
    ['seq', Number.MAX_SAFE_INTEGER + 1],
    ['base', null],
    ['kind', 'other'],
    ['body', 7],
    ['body', 'x'.repeat(limits.bodyLength + 1)],
    ['fresh', 'yes'],
    ['handshake', 'x'.repeat(33)],
  ])('[WF4] %s may not be %j', (field, value) => {
    expect(refusal(frame('send', { ...send, [field]: value }))).toMatchObject({
      code: 'bad-field',
      detail: expect.stringContaining(field),
    })
  })

  test('[WF4] a name outside the grammar is refused with the rule that it breaks', () => {
    expect(refusal(frame('send', { ...send, to: 'a\nb' }))).toMatchObject({
      code: 'bad-name',
      detail: expect.stringContaining('printable'),
    })
    expect(refusal(frame('lookup', { id: 1, names: ['ok', ''] }))).toMatchObject({
      code: 'bad-name',
      detail: expect.stringContaining('must not be empty'),
    })
  })

  test('[WF4] lists have limits', () => {
    const names = Array.from({ length: limits.namesPerLookup + 1 }, (_, i) => `n${i}`)
    expect(refusal(frame('lookup', { id: 1, names })).detail).toContain(`1 to ${limits.namesPerLookup}`)
    expect(refusal(frame('ack', { acks: [] })).code).toBe('bad-field')
    expect(refusal(frame('ack', { acks: [{ to: 'bob', stream: 'x', next: 1 }] })).detail).toContain('stream')
  })

  test('[WF5] deep nesting is refused, however deep', () => {
    for (const depth of [limits.depth + 1, 1_000, 20_000]) {
      const deep = `42["send",{"x":${'['.repeat(depth)}${']'.repeat(depth)}}]`
      expect(['too-deep', 'bad-frame']).toContain(refusal(deep).code)
    }
    expect(refusal(`42["send",{"x":${'['.repeat(8)}${']'.repeat(8)}}]`).code).toBe('too-deep')
  })

  test('[WF6] unknown fields are ignored', () => {
    expect(decodeFrame(frame('send', { ...send, from: 'mallory', extra: 1 }))).toEqual({
      ok: true,
      value: { type: 'send', ...send },
    })
  })

  test('[WF8] keys of Object.prototype are unknown types and unknown fields', () => {
    for (const type of ['__proto__', 'constructor', 'toString', 'hasOwnProperty'])
      expect(refusal(frame(type, {})).code).toBe('unknown-type')
    expect(refusal(`42["send",{"__proto__":${JSON.stringify(send)}}]`).detail).toContain('to breaks')
    expect(decodeFrame(`42["leave",{"__proto__":{"polluted":1},"constructor":1}]`).ok).toBe(true)
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })

  test('decodeFrame never throws, whatever the input', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json().map((json) => `42${json}`),
          fc.jsonValue().map((v) => frame('send', v)),
        ),
        (text) => {
          const decoded = decodeFrame(text)
          if (!decoded.ok) expect(isErrorCode(decoded.error.code)).toBe(true)
        },
      ),
      { numRuns: 2_000 },
    )
  })

  test.each([
    { ms: 1e15 },
    { ms: 600_001 },
    { ms: -1 },
    { ms: 0.5 },
    { ms: '5' },
    { ms: null },
    { handshake: '' },
    { handshake: 'h'.repeat(33) },
    { handshake: 'a\nb' },
    { handshake: 'a\u202eb' },
    { path: 'other' },
    { stage: 'other' },
  ])('[WR9] a report with %j is bad-field', (broken) => {
    const report = { handshake: '9'.repeat(20), path: 'failed', stage: 'ice', ms: 600_000 }
    const decode = (fields: unknown) => decodeFrame(`42${JSON.stringify(['report', fields])}`)
    for (const stage of ['not-found', 'no-answer', 'ice', 'dtls', 'timeout', 'not-verified'])
      expect(decode({ ...report, stage })).toEqual({ ok: true, value: { type: 'report', ...report, stage } })
    expect(decode({ ...report, ...broken })).toMatchObject({ ok: false, error: { code: 'bad-field' } })
  })

  test('the SDK decodes what a node encodes', () => {
    const from = parseName('alice')
    if (!from.ok) throw new Error(from.problem)
    const message = {
      type: 'message',
      from: from.value,
      since: 1,
      stream: 'A'.repeat(11),
      seq: 1,
      base: 1,
      kind: 'signal',
      body: '{"a":"\\""}',
      handshake: 'h',
    } as const
    const text = encodeNodeMessage(message)
    expect(text.startsWith('42["message",')).toBe(true)
    const [type, fields]: [string, unknown] = JSON.parse(text.slice(2))
    expect(decodeNodeMessage(type, fields)).toEqual({ ok: true, value: message })
  })
})

test('[WF1] [WD20] encodeStamped writes the same frame as encodeNodeMessage', () => {
  const word = (most: number): fc.Arbitrary<string> =>
    fc.stringMatching(new RegExp(`^[A-Za-z0-9_-]{${most === 11 ? 11 : `1,${most}`}}$`))
  const anyName = fc.string({ unit: 'grapheme', maxLength: 20 }).map(parseName)
  const fields = fc.record(
    {
      stream: word(11),
      seq: fc.maxSafeNat(),
      base: fc.maxSafeNat(),
      kind: fc.constantFrom('message' as const, 'signal' as const),
      // These texts include lone surrogates.
      body: fc.string({ unit: 'binary' }),
      handshake: word(32),
    },
    { requiredKeys: ['stream', 'seq', 'base', 'kind', 'body'] },
  )
  fc.assert(
    fc.property(anyName, fc.maxSafeNat(), fc.boolean(), fields, (from, since, server, rest) => {
      fc.pre(from.ok)
      const mark = server ? { server } : {}
      const text = encodeNodeMessage({ type: 'message', from: from.value, since, ...mark, ...rest })
      expect(JSON.parse(encodeStamped(stampOf(from.value, since, server), rest).slice(2))).toEqual(
        JSON.parse(text.slice(2)),
      )
    }),
  )
})

describe('hello', () => {
  const secret = 's'.repeat(22)

  test('[WH1] version 1 with a secret is enough', () => {
    expect(decodeHello({ v: 1, secret })).toEqual({ ok: true, value: { v: 1, secret } })
  })

  test.each([
    [{ v: 2, secret }, 'bad-version'],
    [{ secret }, 'bad-version'],
    [{ v: '1', secret }, 'bad-version'],
  ])('[WH1] %j has another version', (hello, code) => {
    expect(decodeHello(hello)).toMatchObject({ ok: false, error: { code } })
  })

  test.each([undefined, null, 7, 'x', []])('[WH1] %j is not a hello', (hello) => {
    expect(decodeHello(hello).ok).toBe(false)
  })

  test('[WF4] the error for a hello names what is wrong with it', () => {
    expect(decodeHello({ v: 1 })).toMatchObject({
      error: { code: 'bad-field', detail: expect.stringContaining('secret') },
    })
    expect(decodeHello({ v: 1, secret, name: '' })).toMatchObject({ error: { code: 'bad-name' } })
    expect(decodeHello({ v: 1, secret, app: 'Not an app' })).toMatchObject({
      error: { code: 'bad-field', detail: expect.stringContaining('app') },
    })
  })
})

describe('tables', () => {
  test('[WE1] the error for a request has its id, if it had one', () => {
    const idOf = (fields: unknown, type = 'lookup') => {
      const { ok, id } = decodeFrame(frame(type, fields))
      return { ok, id }
    }
    expect(idOf({ id: 7, names: [] })).toEqual({ ok: false, id: 7 })
    expect(idOf({ id: 8, room: '\0' }, 'part')).toEqual({ ok: false, id: 8 })
    expect(idOf({ id: 9 }, 'no-such-type')).toEqual({ ok: false, id: 9 })
    for (const id of ['7', -1, 1.5, null, undefined, {}])
      expect(idOf({ id, names: ['bob'] })).toEqual({ ok: false, id: undefined })
    expect(idOf([7])).toEqual({ ok: false, id: undefined })
  })

  test('[WE1] every code says whether it is temporary, and what it means', () => {
    expect(Object.keys(errorTexts)).toEqual(Object.keys(temporary))
    for (const text of Object.values(errorTexts)) expect(text.length).toBeGreaterThan(5)
    expect(isErrorCode('toString')).toBe(false)
  })

  test('[WC1] the range of a close code says whether a client comes back', () => {
    expect(mayReconnect(1006)).toBe(true)
    expect(mayReconnect(4000)).toBe(true)
    expect(mayReconnect(4499)).toBe(true)
    expect(mayReconnect(4500)).toBe(false)
    expect(closeReasonOf(closeCodes.superseded)).toBe('superseded')
    expect(closeReasonOf(1000)).toBeUndefined()
    const codes: number[] = Object.values(closeCodes)
    expect(new Set(codes).size).toBe(codes.length)
    for (const reason of Object.keys(closeCodes) as CloseReason[]) {
      expect(closeTextOf(reason)).not.toBe(reason)
      expect(finalTexts[reason] === undefined).toBe(mayReconnect(closeCodes[reason]))
    }
  })
  test('[WC9] an application server may choose a close code from 4400 to 4499 or 4900 to 4999, and no other', () => {
    const chosen = Array.from({ length: 6_000 }, (_, code) => code).filter(
      (code) => chosenCode(code) === code,
    )
    const range = (first: number): number[] => Array.from({ length: 100 }, (_, i) => first + i)
    expect(chosen).toEqual([...range(4_400), ...range(4_900)])
    for (const code of chosen) expect(closeReasonOf(code)).toBe('disconnected')
    for (const code of Object.values(closeCodes)) expect(chosenCode(code)).toBeUndefined()
    for (const code of [NaN, Infinity, -4_400]) expect(chosenCode(code)).toBeUndefined()
  })

  test('[WC9] the text of `closing` has at most 123 characters', () => {
    const closing = (text: unknown) => decodeNodeMessage('closing', { reason: 'disconnected', text })
    expect(closing('x'.repeat(123)).ok).toBe(true)
    for (const text of ['x'.repeat(124), 7, null, {}])
      expect(closing(text)).toMatchObject({
        error: { code: 'bad-field', detail: 'text must be a string of at most 123 characters' },
      })
  })

  test('[WD20] a peer cannot send the mark of an application server', () => {
    const decoded = decodeFrame(frame('send', { ...send, server: true }))
    expect(decoded).toEqual({ ok: true, value: { type: 'send', ...send } })
  })
})
