import { RegistryUnavailable } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { Name } from '@peerage/protocol'
import { expect, test } from 'vitest'
import { chat } from '../testing/tokens.js'
import { BAN_KINDS, readBanKey, banKey, decodeBan, encodeBan, Revocations } from './revocations.js'

function revocationsTest(records: Record<string, string>, failure?: Error) {
  const clock = new FakeClock()
  const errors: string[] = []
  const reads: (readonly string[])[] = []
  const revocations = new Revocations({
    clock,
    records: {
      async get(_app, _kind, keys) {
        reads.push(keys)
        if (failure !== undefined) throw failure
        return keys.map((key) => records[key])
      },
    },
    onError: (error) => void errors.push(String(error)),
  })
  return {
    clock,
    errors,
    reads,
    check: (holder: Parameters<Revocations['check']>[1]) => revocations.check(chat, holder),
  }
}

const START = new FakeClock().now()
const holder = { name: 'alice' as Name, identity: 'user-1', tokenId: 'token-1', issuedAt: START }

test('all records about a peer are read with one command, and a peer without any is let in', async () => {
  const { check, reads } = revocationsTest({})
  expect(await check(holder)).toEqual({ ok: true })
  expect(reads).toEqual([['n:alice', 's:user-1', 'r:user-1', 'j:token-1']])
  expect(await check({})).toEqual({ ok: true })
  expect(reads).toHaveLength(1)
})

test('a banned name and a banned user get the time that is left', async () => {
  const until = START + 60_000
  for (const [key, what] of [
    ['n:alice', 'name'],
    ['s:user-1', 'user'],
  ] as const) {
    const { check, clock } = revocationsTest({ [key]: encodeBan({ until }) })
    expect(await check(holder)).toEqual({
      ok: false,
      code: 'banned',
      detail: `an application server has banned this ${what}`,
      retryAfterMs: 60_000,
    })
    expect(await check({ name: 'bob' as Name, identity: 'user-2' })).toEqual({ ok: true })
    clock.jump(60_000)
    expect(await check(holder)).toEqual({ ok: true })
  }
})

test('a revoked token is refused for good', async () => {
  const { check } = revocationsTest({ 'j:token-1': encodeBan({ until: START + 60_000 }) })
  expect(await check(holder)).toEqual({
    ok: false,
    code: 'bad-token',
    detail: 'the token was revoked; get a new one',
  })
  expect(await check({ ...holder, tokenId: 'token-2' })).toEqual({ ok: true })
})

test('tokens of a user that were issued before a time are void, and so are those that do not say when', async () => {
  const { check } = revocationsTest({ 'r:user-1': encodeBan({ until: START + 60_000, before: START }) })
  expect(await check({ ...holder, issuedAt: START - 1 })).toMatchObject({ ok: false, code: 'bad-token' })
  expect(await check({ identity: 'user-1' })).toMatchObject({ ok: false, code: 'bad-token' })
  expect(await check(holder)).toEqual({ ok: true })
})

test('while the records cannot be read, nobody comes in', async () => {
  const outage = revocationsTest({}, new RegistryUnavailable('no answer'))
  expect(await outage.check(holder)).toMatchObject({
    ok: false,
    code: 'access-unavailable',
    retryAfterMs: 1_000,
  })
  expect(outage.errors).toEqual([])
  const fault = revocationsTest({}, new TypeError('a bug'))
  expect(await fault.check(holder)).toMatchObject({ ok: false, code: 'access-unavailable' })
  expect(fault.errors).toEqual(['TypeError: a bug'])
})

test('a ban of a user and the end of its older tokens do not replace each other', async () => {
  const until = START + 60_000
  const { check } = revocationsTest({
    's:user-1': encodeBan({ until: START }),
    'r:user-1': encodeBan({ until, before: START }),
  })
  expect(await check({ ...holder, issuedAt: START - 1 })).toMatchObject({ ok: false, code: 'bad-token' })
})

test.each(['', '{}', 'null', '[]', '{"until":"x"}'])('the malformed record %j counts', async (text) => {
  for (const [key, code] of [
    ['n:alice', 'banned'],
    ['s:user-1', 'banned'],
    ['j:token-1', 'bad-token'],
    ['r:user-1', 'bad-token'],
  ] as const) {
    const { check, errors } = revocationsTest({ [key]: text })
    expect(await check(holder)).toMatchObject({ ok: false, code })
    expect(errors).toHaveLength(1)
  }
})

test('records are texts that can be read again, and keys of different kinds do not meet', () => {
  expect(decodeBan(encodeBan({ until: 1 }))).toEqual({ until: 1 })
  expect(decodeBan(encodeBan({ until: 1, before: 2 }))).toEqual({ until: 1, before: 2 })
  const keys = BAN_KINDS.map((kind) => banKey(kind, 'a'))
  expect(new Set(keys).size).toBe(4)
  expect(keys.map(readBanKey)).toEqual(BAN_KINDS.map((kind) => ({ kind, value: 'a' })))
  expect(readBanKey('x:a')).toBeUndefined()
})
