// JSON texts that a gateway must survive, made from frames that are valid on its wire.

const nested = (open: string, close: string, depth: number): string =>
  `${open.repeat(depth)}1${close.repeat(depth)}`

/** A value of every type, and values that are hard to read or to hold. */
const VALUES = [
  'null',
  'true',
  '0',
  '-1',
  '1e400',
  '-1e308',
  `1${'0'.repeat(400)}`,
  '0.1e-400',
  '""',
  '"x"',
  JSON.stringify('x'.repeat(5_000)),
  '"\\u0000\\ud800\\u202e"',
  '"__proto__"',
  '"constructor"',
  '[]',
  '[null]',
  '[[["x"]]]',
  '["x",1,null,{},"x"]',
  '{}',
  '{"__proto__":{"topic":"x"}}',
  '{"constructor":{"prototype":{"x":1}}}',
  '{"length":1e9,"0":"x"}',
  '{"toString":1,"valueOf":2,"toJSON":3}',
  nested('[', ']', 900),
  nested('{"a":', '}', 900),
  nested('[', ']', 20_000),
  nested('{"a":', '}', 8_000),
  // No JSON.
  'undefined',
  'NaN',
  "'x'",
  '"x',
  '[1,',
  '',
]

/** No frame at all, of whatever wire. */
const WHOLE = [
  ...VALUES,
  '\0',
  ' ',
  '{',
  '}',
  '{"',
  '{"a"',
  '{"a":}',
  '{,}',
  '\ufeff{}',
  '42["hello",{}]',
  'x'.repeat(5_000),
]

/**
 * Frames that are malformed in one place. Each field of each frame, at any depth, is left out, is there twice, and gets each
 * of many wrong values. Each frame is also cut at every place, and has something before it and behind it.
 */
export function* malformedFrames(valid: readonly object[]): Generator<string> {
  yield* WHOLE
  for (const frame of valid) {
    yield* variantsOf(frame)
    const text = JSON.stringify(frame)
    for (let end = 1; end < text.length; end++) yield text.slice(0, end)
    yield* [
      `${text}x`,
      `${text}${text}`,
      `x${text}`,
      `[${text}]`,
      ` ${text}\n`,
      text.replace('{', '{"__proto__":{},'),
    ]
  }
}

/** The texts of a value in which one place is wrong. */
function* variantsOf(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return
  const members = Object.entries(value).map(([key, member]: [string, unknown]) => ({
    key,
    member,
    part: partOf(value, key, JSON.stringify(member)),
  }))
  const parts = members.map(({ part }) => part)
  for (const [at, { key, member, part }] of members.entries()) {
    const having = (...others: string[]): string => closed(value, parts.toSpliced(at, 1, ...others))
    yield having()
    yield having(part, part)
    for (const wrong of VALUES) {
      yield having(partOf(value, key, wrong))
      if (!Array.isArray(value)) yield having(part, partOf(value, key, wrong))
    }
    for (const variant of variantsOf(member)) yield having(partOf(value, key, variant))
  }
}

function partOf(owner: object, key: string, text: string): string {
  return Array.isArray(owner) ? text : `${JSON.stringify(key)}:${text}`
}

function closed(owner: object, parts: readonly string[]): string {
  return Array.isArray(owner) ? `[${parts.join(',')}]` : `{${parts.join(',')}}`
}
