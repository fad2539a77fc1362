import type { Lease } from '@peerage/core'
import { ranked } from '@peerage/core'
import { newConnectionId, newNodeId, newPeer, newSecretHash } from '@peerage/test-support/testing/core.js'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatAs, formatLease, parseLease } from './lease-string.js'

const peer = newPeer()
const lease: fc.Arbitrary<Lease> = fc
  .record({
    since: fc.integer({ min: 1, max: 4_000_000_000_000 }),
    later: fc.integer({ min: 0, max: 1_000_000_000_000 }),
    rank: fc.option(fc.integer({ min: 1, max: 4_000_000_000_000 })),
    state: fc.constantFrom('online', 'away'),
    // fast-check does not vary this field, because any value will do.
    node: fc.constant(0).map(() => newNodeId()),
    connection: fc.constant(0).map(() => newConnectionId()),
    secretHash: fc.constant(0).map(() => newSecretHash()),
  })
  .map(({ since, later, rank, ...rest }) =>
    ranked({ peer, since, epoch: since + later, ...rest }, rank ?? since),
  )

test('[LEASE1] a parsed lease equals the written one', () => {
  fc.assert(
    fc.property(lease, (one) => {
      expect(parseLease(peer, formatLease(one))).toEqual(one)
      expect(parseLease(peer, formatAs(one, 'away'))).toEqual({ ...one, state: 'away' })
    }),
  )
})

test('a first lease takes at most 44 characters until the year 2059', () => {
  const since = Date.UTC(2059, 0)
  const first: Lease = {
    peer,
    node: newNodeId(),
    connection: newConnectionId(),
    since,
    epoch: since,
    state: 'online',
    secretHash: newSecretHash(),
  }
  expect(formatLease(first).length).toBeLessThanOrEqual(44)
})

test('[LEASE3] [F25] words that a later version adds are skipped', () => {
  fc.assert(
    fc.property(lease, fc.string(), (one, more) => {
      fc.pre(!/^~|[\n\r\u2028\u2029]/u.test(more))
      expect(parseLease(peer, `${formatLease(one)} ${more}`)).toEqual(one)
    }),
  )
})

test('[LEASE1] [LEASE2] [F23] anything else is not a lease, and nothing throws', () => {
  fc.assert(
    fc.property(fc.oneof(fc.anything(), fc.string({ unit: 'binary' })), (value) => {
      expect(parseLease(peer, value)).toBeUndefined()
    }),
  )
  const [node, hash] = ['abcdefgh', 'x'.repeat(22)]
  const malformed = [
    '1800000000000', // a tombstone
    `${node}${hash}x1 c1`,
    `${node}${hash}o c1`,
    `${node}${hash}o1: c1`,
    `${node}${hash}o1:1`,
    `${node}${hash}o1 C1`,
    `${node}${hash}o1 c234567890123`,
    `${node}${hash}ozzzzzzzzzzz c1`,
    `abcdefg ${hash}o1 c1`,
    `${node}${hash.slice(1)}o1 c1`,
  ]
  for (const value of malformed) expect(parseLease(peer, value)).toBeUndefined()
})
