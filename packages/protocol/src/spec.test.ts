import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { closeCodes, closeTextOf, mayReconnect } from './close.js'
import { decodeFrame, decodeHello, decodeNodeMessage } from './decode.js'
import { errorTexts, temporary } from './errors.js'
import { limits } from './limits.js'
import { PROTOCOL_VERSION, nodeShapes } from './messages.js'
import { helloShape, peerShapes } from './peer-messages.js'
import * as rules from './rules.js'
import type { Rule, Shape } from './rules.js'
import { bounded, list, nullable, object, optional } from './rules.js'
import { readTable } from './testing/index.js'

// The author of a client may have only SPEC.md. These tests compare its tables and its example with the decoders.

const spec = readFileSync(new URL('../SPEC.md', import.meta.url), 'utf8')
const numberOf = (text: string): number => Number(text.replaceAll(',', ''))
const codeRule: Rule<unknown> = rules.code
const leaves: Record<string, Rule<unknown>> = {
  name: rules.name,
  room: rules.room,
  app: rules.app,
  secret: rules.secret,
  stream: rules.stream,
  handshake: rules.handshake,
  unread: rules.unread,
  natural: rules.natural,
  string: rules.string,
  body: rules.body,
  flag: rules.flag,
  code: codeRule,
}

interface Field {
  owner: string
  field: string
  type: string
}

/** The fields of a table whose first column names each frame or object only in its first row. */
function fieldsOf(heading: string, column: string): Field[] {
  let owner = ''
  return readTable(spec, heading).map((row) => {
    owner = row[column] || owner
    return { owner, field: row['field'] ?? '', type: row['type'] ?? '' }
  })
}

function shapesOf(fields: readonly Field[]): Record<string, Shape> {
  const shapes: Record<string, Shape> = {}
  for (const { owner, field, type } of fields) {
    const shape = (shapes[owner] ??= {})
    if (field !== '') shape[field] = ruleOf(type)
  }
  return shapes
}

/** The rule that a cell of the column `type` describes. */
function ruleOf(type: string): Rule<unknown> {
  const [, required] = /^(.*), optional$/.exec(type) ?? []
  if (required !== undefined) return optional(ruleOf(required))
  const [, present] = /^(.*) or null$/.exec(type) ?? []
  if (present !== undefined) return nullable(ruleOf(present))
  const [, least, most = '', item] = /^list of ([01])–([\d,]+) (.*)$/.exec(type) ?? []
  if (item !== undefined) return (least === '0' ? bounded : list)(ruleOf(item), numberOf(most))
  const [, values] = /^one of (.*)$/.exec(type) ?? []
  if (values !== undefined) return rules.oneOf(...values.replaceAll('`', '').split(', '))
  const [, kind, bound = ''] = /^`(string|natural)` ≤ ([\d,]+)$/.exec(type) ?? []
  if (kind !== undefined) return (kind === 'string' ? rules.text : rules.upTo)(numberOf(bound))
  const word = type.replaceAll('`', '')
  const leaf = leaves[word]
  if (leaf !== undefined) return leaf
  const own = objects.filter(({ owner }) => owner === word)
  if (own.length === 0) throw new Error(`SPEC.md has no type ${JSON.stringify(type)}`)
  return object(shapesOf(own)[word] ?? {})
}

/** How a rule behaves, seen from outside. Two rules with the same traits count as the same rule. */
function traitsOf(rule: Rule<unknown>): unknown {
  return {
    absent: rule.is(undefined),
    null: rule.is(null),
    empty: rule.is([]),
    wrong: [undefined, [], 'x'.repeat(100_000), -1].map((input) => rule.explain(input)),
    code: rule.code,
    item: rule.item && traitsOf(rule.item),
    fields: rule.fields && shapeTraitsOf(rule.fields),
  }
}

function shapeTraitsOf(shape: Shape): Record<string, unknown> {
  return Object.fromEntries(Object.entries(shape).map(([field, rule]) => [field, traitsOf(rule)]))
}

const traitsOfAll = (shapes: Record<string, Shape>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(shapes).map(([type, shape]) => [type, shapeTraitsOf(shape)]))

/** A value that the rule allows. */
function sampleOf(rule: Rule<unknown>): unknown {
  if (rule.fields) return samplesOf(rule.fields)
  if (rule.item) return [sampleOf(rule.item)]
  const [, first] = /^must be one of ([^,]*)/.exec(rule.explain(undefined)) ?? []
  const samples = [first, 1, true, 'A'.repeat(22), 'A'.repeat(11), 'bob', 'forbidden']
  return samples.find((sample) => sample !== undefined && rule.is(sample))
}

function samplesOf(shape: Shape): Record<string, unknown> {
  return Object.fromEntries(Object.entries(shape).map(([field, rule]) => [field, sampleOf(rule)]))
}

const objects = fieldsOf('Objects', 'object')
const peerFrames = shapesOf(fieldsOf('What a peer says', 'frame'))
const nodeFrames = shapesOf(fieldsOf('What a node says', 'frame'))
const hello = shapesOf(fieldsOf('The hello', 'frame'))[''] ?? {}

describe('SPEC.md says what the code does', () => {
  test('the frames of a peer, with their fields and types', () => {
    expect(traitsOfAll(peerFrames)).toEqual(traitsOfAll(peerShapes))
  })

  test('the frames of a node, with their fields and types', () => {
    expect(traitsOfAll(nodeFrames)).toEqual(traitsOfAll(nodeShapes))
  })

  test('the hello', () => {
    expect(shapeTraitsOf(hello)).toEqual(shapeTraitsOf(helloShape))
    const said = { ...samplesOf(hello), v: PROTOCOL_VERSION }
    expect(decodeHello(said)).toEqual({ ok: true, value: said })
    expect(spec).toContain(`# The native wire, version ${PROTOCOL_VERSION}`)
  })

  test('every object is the type of some field', () => {
    const types = [
      ...objects,
      ...fieldsOf('What a peer says', 'frame'),
      ...fieldsOf('What a node says', 'frame'),
    ]
    for (const { owner } of objects)
      expect(
        types.some(({ type }) => type.includes(owner)),
        owner,
      ).toBe(true)
  })

  test.each([
    [
      'a peer',
      peerFrames,
      (type: string, fields: unknown) => decodeFrame(`42${JSON.stringify([type, fields])}`),
    ],
    ['a node', nodeFrames, (type: string, fields: unknown) => decodeNodeMessage(type, fields)],
  ])(
    'the decoder accepts the frames of %s, and refuses them without a required field',
    (_, frames, decode) => {
      for (const [type, shape] of Object.entries(frames)) {
        const fields = samplesOf(shape)
        expect(decode(type, fields), type).toEqual({ ok: true, value: { type, ...fields } })
        for (const field in shape) {
          const { [field]: __, ...rest } = fields
          const decoded = decode(type, rest)
          expect(decoded.ok, `${type} without ${field}`).toBe(shape[field]?.is(undefined))
          if (!decoded.ok) expect(decoded.error.detail.startsWith(`${field} `)).toBe(true)
        }
      }
    },
  )

  test('the limits of each type', () => {
    const types = readTable(spec, 'Types')
    expect(types.map(({ type }) => type)).toEqual(Object.keys(leaves))
    for (const { type = '', holds = '' } of types) {
      const rule = leaves[type]
      const takes = (input: unknown): boolean => rule?.is(input) ?? false
      const [, least = '', most = least, unit] =
        /^(\d+)(?: to (\d+))? (characters|bytes of UTF-8)/.exec(holds) ?? []
      const [, units = ''] = /at most ([\d,]+) UTF-16 units/.exec(holds) ?? []
      const [, largest = ''] = /from 0 to ([\d,]+)/.exec(holds) ?? []
      if (unit !== undefined) {
        const sizes = [Number(least) - 1, Number(least), Number(most), Number(most) + 1]
        expect(
          sizes.map((size) => takes('a'.repeat(size))),
          type,
        ).toEqual([false, true, true, false])
        if (unit === 'bytes of UTF-8') expect(takes('é'.repeat(Number(most) / 2))).toBe(true)
        if (unit === 'bytes of UTF-8') expect(takes('é'.repeat(Number(most) / 2 + 1))).toBe(false)
        const hexadecimal = /`a-f`/.test(holds) ? 'af09' : 'az09-'
        const plain = /characters of base64url/.test(holds) ? 'aZ0_-' : hexadecimal
        expect(takes(plain.repeat(26).slice(0, Number(most))), type).toBe(true)
        for (const odd of ['\n', '+', '/', '=', '.'])
          expect(takes(odd.repeat(Number(most))), `${type}: ${odd}`).toBe(
            unit !== 'characters' && odd !== '\n',
          )
      } else if (type === 'body') {
        expect([0, 1].map((more) => takes('é'.repeat(numberOf(units) + more)))).toEqual([true, false])
      } else if (type === 'natural') {
        expect([-1, 0, 0.5, numberOf(largest), numberOf(largest) + 1].map(takes)).toEqual([
          false,
          true,
          false,
          true,
          false,
        ])
      } else expect(['string', 'flag', 'code'], type).toContain(type)
    }
  })

  test('the error codes', () => {
    expect(readTable(spec, 'Error codes')).toEqual(
      Object.entries(temporary).map(([code, isTemporary]) => ({
        code,
        temporary: isTemporary ? 'yes' : 'no',
        means: Object.entries(errorTexts).find(([one]) => one === code)?.[1],
      })),
    )
  })

  test('the close codes', () => {
    expect(readTable(spec, 'Close codes')).toEqual(
      Object.keys(closeCodes).map((reason) => {
        const known = reason as keyof typeof closeCodes
        const code = closeCodes[known]
        const back = mayReconnect(code) ? 'yes' : 'no'
        return { code: String(code), reason, 'come back': back, means: closeTextOf(known) }
      }),
    )
  })

  test('the limits', () => {
    const told = readTable(spec, 'Limits').map(({ limit = '', value = '' }) => [limit, numberOf(value)])
    expect(Object.fromEntries(told)).toEqual(limits)
  })
})
