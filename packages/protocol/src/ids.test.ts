import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  NAME_MAX_BYTES,
  appOf,
  nameOf,
  parseApp,
  parseConnectionId,
  parseName,
  parseNodeId,
  parsePeer,
  parseRoomId,
  parseSecret,
  peerOf,
  roomOf,
  utf8Length,
} from './ids.js'

describe('names', () => {
  test.each([
    'bob',
    'a',
    'x'.repeat(128),
    'Zoë',
    '名前',
    '🙂',
    'a/b',
    'a}b{c',
    '__proto__',
    ' ',
    '"quoted"',
    ' a ',
    'a\u00a0b',
    '山田\u3000太郎',
  ])('[WN1] %s is a name', (name) => {
    expect(parseName(name)).toEqual({ ok: true, value: name })
  })

  test.each([
    ['', 'must not be empty'],
    ['x'.repeat(129), 'at most 128 bytes'],
    ['é'.repeat(65), 'at most 128 bytes'],
    ['🙂'.repeat(33), 'at most 128 bytes'],
    ['a\nb', 'printable'],
    ['a\u0000', 'printable'],
    ['a\u200eb', 'printable'],
    ['\ud800', 'printable'],
    ['a\u2028', 'printable'],
    ['a\u2029', 'printable'],
    ['a\u200d', 'printable'],
    ['a\u0085', 'printable'],
    [7, 'must be a string'],
    [null, 'must be a string'],
  ])('[WN1] %j is refused with the rule that it breaks', (input, rule) => {
    const parsed = parseName(input)
    expect(parsed.ok).toBe(false)
    expect(parsed.ok ? '' : parsed.problem).toContain(rule)
  })

  test('[WN1] the length is counted in bytes of UTF-8', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length)
      }),
    )
  })

  test('[WN1] every accepted name has at most 128 bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => {
        if (parseName(text).ok)
          expect(new TextEncoder().encode(text).length).toBeLessThanOrEqual(NAME_MAX_BYTES)
      }),
    )
  })

  test.each(['default', 'a', 'my-app-2', 'x'.repeat(32)])('[WN2] %s is an app', (app) => {
    expect(parseApp(app).ok).toBe(true)
  })

  test.each(['', 'A', 'a/b', 'x'.repeat(33), 'a b', 'ä', undefined])('[WN2] %j is not an app', (app) => {
    expect(parseApp(app).ok).toBe(false)
  })

  test('[WN3] app/name is divided at its first slash, whatever the name holds', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), (text) => {
        const [app, name] = [parseApp('app-1'), parseName(text)]
        if (!app.ok || !name.ok) return
        const peer = peerOf(app.value, name.value)
        expect([appOf(peer), nameOf(peer)]).toEqual(['app-1', text])
        expect(parsePeer(peer)).toEqual({ ok: true, value: peer })
      }),
    )
  })

  test('[WN3] a text without a slash, an app or a name is refused', () => {
    for (const input of ['bob', '/bob', 'app/', 'App/bob', 'a\u0000/b', 7])
      expect(parsePeer(input).ok).toBe(false)
  })

  test('[WN3] a room has its app, and the wire behind it if it is not the native one', () => {
    for (const input of ['app/x', 'app:y-webrtc/x', 'app/a:b/c', 'app:matchbox/a:b/c']) {
      const id = parseRoomId(input)
      if (!id.ok) throw new Error(id.problem)
      expect([appOf(id.value), roomOf(id.value)]).toEqual(['app', input.slice(input.indexOf('/') + 1)])
    }
    for (const input of ['x', '/x', 'app/', ':y-webrtc/x', 'app:/x', 'app:Wire/x', 'app:a:b/x', 7])
      expect(parseRoomId(input).ok).toBe(false)
  })

  test('[WN4] node and connection ids have their lengths and alphabets', () => {
    expect(parseNodeId('Ab3_-6gH').ok).toBe(true)
    for (const input of ['Ab3dE6g', 'Ab3dE6gHi', 'Ab3dE6g+', 8]) expect(parseNodeId(input).ok).toBe(false)
    expect(parseConnectionId('1z').ok).toBe(true)
    for (const input of ['', '1Z', '1234567890123', null]) expect(parseConnectionId(input).ok).toBe(false)
  })

  test('[WN5] a secret has at least 128 bits', () => {
    expect(parseSecret('a'.repeat(22)).ok).toBe(true)
    for (const input of ['a'.repeat(21), 'a'.repeat(65), `${'a'.repeat(22)}=`, undefined])
      expect(parseSecret(input).ok).toBe(false)
  })

  test('the slowest text for the patterns is refused quickly', () => {
    const started = performance.now()
    for (let i = 0; i < 100; i++) parseName(`${'é'.repeat(64)}\u0000`.repeat(1_000))
    expect(performance.now() - started).toBeLessThan(5_000)
  })
})
