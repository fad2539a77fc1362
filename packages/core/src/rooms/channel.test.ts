import { parseConnectionId, parseName, parseNodeId } from '@peerage/protocol'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Published } from './channel.js'
import { must } from '../testing/cluster.js'
import {
  encodeChange,
  encodeCounted,
  encodePublished,
  encodeSaid,
  originOf,
  readAnonymousTold,
  readTold,
} from './channel.js'

const node = must(parseNodeId('k3J9sQ2x'))
const connection = must(parseConnectionId('1a'))
const origin = originOf(node, connection)
const members = fc.nat({ max: 9_999_999 })
const published: fc.Arbitrary<Published> = fc.record({
  connection: fc.constant(connection),
  to: fc.option(fc.string({ maxLength: 128, unit: 'binary' }), { nil: undefined }),
  text: fc.string({ unit: 'binary' }),
  sender: fc.constantFrom('k3J9sQ2x', '-_-_-_-_'),
  number: fc.nat({ max: 999_999_999_999_999 }),
  age: fc.option(fc.nat({ max: 999_999_999 }), { nil: undefined }),
})
const hello: Published = {
  connection,
  to: 'bob',
  text: 'hello',
  sender: 'k3J9sQ2x',
  number: 7,
  age: undefined,
}

test('a published text and a count are read as they were written', () => {
  fc.assert(
    fc.property(members, published, (count, text) => {
      const told = readAnonymousTold(encodePublished(node, count, text))
      expect(told).toEqual({ type: 'published', node, members: count, ...text })
    }),
  )
  fc.assert(
    fc.property(members, fc.constantFrom('nothing', 'counts', 'texts'), (count, asks) => {
      const told = readAnonymousTold(encodeCounted(node, count, asks))
      expect(told).toEqual({ type: 'counted', node, members: count, asks })
    }),
  )
})

test('any other text is read as undefined, or as a text with fields within their bounds', () => {
  const parts = fc.constantFrom(
    'k3J9sQ2x',
    '.',
    '1a',
    '-',
    ' ',
    'p',
    '?',
    '!',
    '=',
    ',',
    'p1,-,k3J9sQ2x,1,- ',
    '0',
    '7',
    '12345678',
    'x',
    '\n',
  )
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(parts, { maxLength: 14 }).map((all) => all.join('')),
  )
  fc.assert(
    fc.property(texts, (text) => {
      const told = readAnonymousTold(text)
      if (told === undefined) return
      expect(told.members).toBeLessThanOrEqual(9_999_999)
      if (told.type === 'published') expect(text.endsWith(`${told.to ?? ''}${told.text}`)).toBe(true)
    }),
    { numRuns: 2_000 },
  )
  const whole = encodePublished(node, 12, hello)
  for (let end = 0; end < whole.indexOf('bob') + 3; end++)
    expect(readAnonymousTold(whole.slice(0, end))).toBeUndefined()
})

test('[F25] what a later version adds to a text is left out', () => {
  const whole = encodePublished(node, 12, hello).replace(',- ', ',-,more,x=1 ')
  expect(readAnonymousTold(whole)).toEqual({ type: 'published', node, members: 12, ...hello })
  expect(readAnonymousTold(`${encodeCounted(node, 3, 'texts')},more`)).toMatchObject({ asks: 'texts' })
})

// A node of an earlier version subscribes only to rooms of its own wires. If it gets such a text, it reports it and goes on.
test('the texts of rooms with and without names are no texts of the other kind', () => {
  const member = { since: 1, name: must(parseName('alice')) }
  for (const text of [encodeSaid(origin, 'frame'), encodeChange(origin, 'joined', member)])
    expect(readAnonymousTold(text)).toBeUndefined()
  for (const text of [encodePublished(node, 1, hello), encodeCounted(node, 1, 'texts')])
    expect(readTold(text)).toBeUndefined()
})
