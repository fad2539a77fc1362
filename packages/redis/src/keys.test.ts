import { must, newNodeId, peer } from '@peerage/test-support/testing/core.js'
import { appOf, parsePeer, parseRoomId } from '@peerage/protocol'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Keys, checkPrefix } from './keys.js'

const keys = new Keys('pg:')

/** The part of a key that Redis Cluster hashes: Redis Cluster specification, «Hash tags». */
function hashed(key: string): string {
  const open = key.indexOf('{')
  const close = key.indexOf('}', open + 1)
  return open < 0 || close < 0 || close === open + 1 ? key : key.slice(open + 1, close)
}

test('keys have the documented form', () => {
  const alice = peer('app/alice')
  expect(keys.lease(alice)).toBe('pg:{app/alice}:lease')
  expect(keys.queue(alice)).toBe('pg:{app/alice}:queue')
  expect(keys.presence(alice)).toBe('pg:{app/alice}:presence')
  expect(keys.nodes()).toBe('pg:nodes')
  const node = newNodeId()
  expect(keys.node(node)).toBe(`pg:node:${node}`)
  expect(keys.inbox(node)).toBe(`pg:inbox:${node}`)
  const app = appOf(alice)
  expect(keys.indexed(app, 15)).toBe('pg:{app#15}:names')
  expect(keys.records(app, 'bans')).toBe('pg:{app#bans}:records')
  const pool = must(parseRoomId('app:webtorrent/00ff'))
  expect(keys.pool(pool)).toBe('pg:{app:webtorrent/00ff}:pool')
  expect(keys.seats(must(parseRoomId('app:matchbox/hall')), 2)).toBe('pg:{app:matchbox/hall}:seats:2')
  // printf %s k1 | openssl dgst -sha256 -binary | head -c 16 | basenc --base64url
  expect(keys.answer(app, 'k1')).toBe('pg:{app#a:arnx6499M4j0-dWG9m6Z_Q}:answer')
})

test('[KEY1] all keys of a name have one slot, whatever its characters, and different names have different keys', () => {
  const name = fc
    .string({ unit: fc.constantFrom('{', '}', '/', ':', 'a', 'é'), minLength: 1, maxLength: 12 })
    .map((text) => must(parsePeer(`app/${text}`)))
  fc.assert(
    fc.property(name, name, (one, other) => {
      const tag = hashed(keys.lease(one))
      expect(tag.startsWith('app/')).toBe(true)
      expect(hashed(keys.queue(one))).toBe(tag)
      expect(hashed(keys.presence(one))).toBe(tag)
      expect(keys.lease(one) === keys.lease(other)).toBe(one === other)
    }),
  )
})

test('keys of different kinds never collide', () => {
  // A name may end like the key of another kind.
  const tricky = ['a', 'a}:lease', 'a}:queue', '}:lease', 'a}:lease{'].map((name) => peer(`app/${name}`))
  const all = tricky.flatMap((one) => [keys.lease(one), keys.queue(one), keys.presence(one)])
  expect(new Set(all).size).toBe(all.length)
})

test('[KEY2] a prefix may contain neither braces nor unprintable characters', () => {
  for (const fine of ['', 'pg:', 'staging/eu-1:']) expect(checkPrefix(fine)).toBeUndefined()
  for (const broken of ['{x}', 'a{', 'a b', 'é', '\n', 'x'.repeat(65)])
    expect(checkPrefix(broken)).toMatch(/^must /)
})
