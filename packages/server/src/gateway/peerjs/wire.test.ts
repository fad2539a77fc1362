import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeCredentials, decodePeerFrame, encodeExpire } from './wire.js'

describe('credentials', () => {
  test('[PJ3] id, token and key are needed, and none may be empty', () => {
    expect(decodeCredentials('/peerjs?key=peerjs&id=a&token=t')).toEqual({
      key: 'peerjs',
      id: 'a',
      token: 't',
    })
    for (const url of [
      '/peerjs',
      '/peerjs?',
      '/peerjs?id=a&token=t',
      '/peerjs?key=k&token=t',
      '/peerjs?key=k&id=a',
      '/peerjs?key=k&id=&token=t',
    ])
      expect(decodeCredentials(url)).toBeUndefined()
  })

  test('[PJ3] if a parameter comes several times the last one counts, and values are decoded like a form', () => {
    expect(decodeCredentials('/peerjs?id=a&id=b%20c+d&key=k&token=%C3%A4')).toEqual({
      id: 'b c d',
      key: 'k',
      token: 'ä',
    })
    expect(decodeCredentials('/peerjs?id=%E0%A4%A&key=k&token=t')?.id).toContain('�')
  })
})

describe('frames of a peer', () => {
  test('[PJ6] only type, dst and payload are relayed, and src is the sender [I13]', () => {
    const text = '{"type":"OFFER","src":"someone","extra":1,"payload":{"a":[1]},"dst":"b"}'
    expect(decodePeerFrame(text, '"me"')).toEqual({
      type: 'relay',
      to: 'b',
      dst: '"b"',
      hold: true,
      frame: '{"type":"OFFER","src":"me","dst":"b","payload":{"a":[1]}}',
    })
  })

  test('[PJ6] an absent payload stays absent', () => {
    const decoded = decodePeerFrame('{"type":"ANSWER","dst":"b"}', '"me"')
    expect(decoded).toMatchObject({ frame: '{"type":"ANSWER","src":"me","dst":"b"}' })
  })

  test('[PJ6] a payload is relayed as its own text, so 1e20 is not written out', () => {
    const payload = `[${'1e20,'.repeat(10_000)}1.0, {"a":"\\u0041","a":2}]`
    const decoded = decodePeerFrame(`{"type":"OFFER", "payload" : ${payload} ,"dst":"b"}`, '"me"')
    expect(decoded).toMatchObject({ frame: `{"type":"OFFER","src":"me","dst":"b","payload":${payload}}` })
  })

  test('[PJ6] of members with one key the last counts, escaped keys count, and no text can add a member', () => {
    const text =
      '{"dst":"a","\\u0070ayload":"}\\\\","payload":1,"src":"x","\\u0070ayload":"\\",\\"src\\":\\"y","type":"OFFER","dst":"b"}'
    const decoded = decodePeerFrame(text, '"me"')
    expect(decoded).toMatchObject({
      to: 'b',
      frame: '{"type":"OFFER","src":"me","dst":"b","payload":"\\",\\"src\\":\\"y"}',
    })
  })

  test('[PJ6] a relayed frame has the same values as the sent frame, whatever its spelling', () => {
    const space = fc.stringMatching(/^[ \n\r\t]{0,2}$/)
    const word = fc.oneof(
      fc.json({ maxDepth: 6 }),
      fc.constantFrom(
        '-0',
        '1e20',
        '0.10',
        '"\\\\"',
        '"\\""',
        '[]',
        '{}',
        '{"a":{"dst":"c"},"a":[1 , 2]}',
        '"\\ud800"',
      ),
    )
    const key = fc.constantFrom(
      '"payload"',
      '"dst"',
      '"\\u0064st"',
      '"pay\\u006coad"',
      '"__proto__"',
      '"x\\\\"',
      '"src"',
    )
    const member = fc.tuple(space, key, space, space, word, space)
    fc.assert(
      fc.property(fc.array(member, { maxLength: 6 }), (members) => {
        const all = [...members, ['', '"dst"', '', ' ', '"b"', ' '], ['', '"type"', '', '', '"OFFER"', '\n']]
        const text = ` {${all.map(([a, k, b, c, v, d]) => `${a}${k}${b}:${c}${v}${d}`).join(',')}} `
        const sent = JSON.parse(text) as Record<string, unknown>
        const decoded = decodePeerFrame(text, '"me"')
        if (decoded.type !== 'relay') throw new Error(decoded.type)
        const { type, dst, payload } = sent
        expect(JSON.parse(decoded.frame)).toEqual(
          Object.hasOwn(sent, 'payload') ? { type, src: 'me', dst, payload } : { type, src: 'me', dst },
        )
        expect(decoded.frame.length).toBeLessThanOrEqual(text.length + '"src":"me",'.length)
      }),
      { numRuns: 1_000 },
    )
  })

  test('[PJ6] a payload that is nested too deeply is malformed, and one at the limit is relayed', () => {
    const nested = (depth: number): string =>
      `{"type":"OFFER","dst":"b","payload":${'['.repeat(depth)}${']'.repeat(depth)}}`
    expect([1_000, 1_001].map((depth) => decodePeerFrame(nested(depth), '"me"').type)).toEqual([
      'relay',
      'malformed',
    ])
  })

  test('[PJ9] an invalid dst keeps its own text too', () => {
    expect(decodePeerFrame('{"type":"OFFER","dst":[1e20]}', '"me"')).toMatchObject({ dst: '[1e20]' })
  })

  test('[PJ8] LEAVE and EXPIRE are relayed, and do not wait', () => {
    for (const type of ['LEAVE', 'EXPIRE'])
      expect(decodePeerFrame(JSON.stringify({ type, dst: 'b' }), '"me"')).toMatchObject({
        type: 'relay',
        hold: false,
      })
  })

  test('[PJ10] LEAVE without dst releases the name', () => {
    expect(decodePeerFrame('{"type":"LEAVE"}', '"me"').type).toBe('leave')
    expect(decodePeerFrame('{"type":"LEAVE","dst":""}', '"me"').type).toBe('leave')
  })

  test('[PJ6] JSON that is no message of this wire is ignored', () => {
    for (const text of [
      '{}',
      '[]',
      '[{"type":"OFFER","dst":"b"}]',
      '{"type":"offer","dst":"b"}',
      '{"type":"OPEN","dst":"b"}',
      '{"type":"constructor","dst":"b"}',
      '{"type":"__proto__","dst":"b"}',
      '{"type":["OFFER"],"dst":"b"}',
      '{"type":"OFFER"}',
      '{"type":"OFFER","dst":null}',
      '{"type":"EXPIRE"}',
      '{"__proto__":{"type":"OFFER","dst":"b"}}',
    ])
      expect([text, decodePeerFrame(text, '"me"').type]).toEqual([text, 'ignored'])
  })

  test('[PJ6] a text that is no JSON object is malformed', () => {
    for (const text of ['', 'x', '1', 'null', '"OFFER"', 'true', '{"type":', '\0\u00ff'])
      expect([text, decodePeerFrame(text, '"me"').type]).toEqual([text, 'malformed'])
  })

  test('[PJ6] nesting as deep as a frame allows does not throw', () => {
    const depth = 30_000
    const deep = `${'['.repeat(depth)}${']'.repeat(depth)}`
    const decoded = decodePeerFrame(`{"type":"OFFER","dst":"b","payload":${deep}}`, '"me"')
    expect(['malformed', 'relay']).toContain(decoded.type)
  })

  test('[I13] whatever a peer writes, the relayed frame names the sender once', () => {
    const key = fc.constantFrom('type', 'src', 'dst', 'payload', '__proto__', 'x')
    const value = fc.oneof(fc.constantFrom('OFFER', 'ANSWER', 'CANDIDATE', 'LEAVE', 'b'), fc.jsonValue())
    const member = fc
      .tuple(key, value)
      .map(([name, content]) => `${JSON.stringify(name)}:${JSON.stringify(content)}`)
    fc.assert(
      fc.property(fc.array(member, { maxLength: 8 }), (members) => {
        const decoded = decodePeerFrame(`{${members.join(',')}}`, '"the sender"')
        if (decoded.type !== 'relay') return
        const seen: unknown = JSON.parse(decoded.frame)
        expect(seen).toMatchObject({ src: 'the sender' })
        expect(
          Object.keys(seen ?? {}).filter((name) => !['type', 'src', 'dst', 'payload'].includes(name)),
        ).toEqual([])
      }),
      { numRuns: 500 },
    )
  })
})

test('[PJ9] EXPIRE names the absent peer as src, and the sender as dst', () => {
  expect(encodeExpire('"gone"', 'me')).toBe('{"type":"EXPIRE","src":"gone","dst":"me"}')
  expect(encodeExpire('"gone"', 'me', 'why')).toBe(
    '{"type":"EXPIRE","src":"gone","dst":"me","payload":{"msg":"why"}}',
  )
})
