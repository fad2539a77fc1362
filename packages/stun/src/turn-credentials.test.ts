import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mintTurnCredentials, verifyTurnCredentials } from './turn-credentials.js'

const NOW_MS = 1_699_999_700_000
const uris = ['turn:turn.example.org:3478?transport=udp']

describe('TURN credentials', () => {
  it('[STUN70] a known value: secret north, name alice, expiry 1700000000', () => {
    const minted = mintTurnCredentials({
      secrets: ['north'],
      name: 'alice',
      ttlSeconds: 300,
      uris,
      nowMs: NOW_MS,
    })
    expect(minted).toEqual({
      username: '1700000000:alice',
      password: 'Cd/49soE35ICqcJF/bCTn8Z4OyE=',
      ttl: 300,
      uris,
    })
  })

  it('[STUN70] the expiry is counted from whole seconds, so it is never later than the ttl', () => {
    const minted = mintTurnCredentials({
      secrets: ['north'],
      name: 'alice',
      ttlSeconds: 300,
      uris,
      nowMs: NOW_MS + 999,
    })
    expect(minted.username).toBe('1700000000:alice')
  })

  it.each([0, -1, 1.5, Number.NaN])('[STUN70] a ttl of %s throws a RangeError', (ttlSeconds) => {
    const options = { secrets: ['north'], name: 'a', uris, nowMs: 0 } as const
    expect(() => mintTurnCredentials({ ...options, ttlSeconds })).toThrow(RangeError)
  })

  it('[STUN70] an empty secret throws a RangeError, and verifies nothing', () => {
    expect(() => mintTurnCredentials({ secrets: [''], name: 'a', ttlSeconds: 1, uris, nowMs: 0 })).toThrow(
      RangeError,
    )
    const forged = { username: '1700000000:a', password: 'dxSYsQmMWRK5AjIHLVDJ1UlzWho=', nowMs: 0 }
    expect(verifyTurnCredentials({ ...forged, secrets: [''] })).toMatchObject({ ok: false })
  })

  it('[STUN71] the first of two secrets makes credentials, both verify them, and a third does not', () => {
    const minted = mintTurnCredentials({
      secrets: ['north', 'south'],
      name: 'alice',
      ttlSeconds: 300,
      uris,
      nowMs: NOW_MS,
    })
    const verify = (secrets: [string, string?]): unknown =>
      verifyTurnCredentials({ ...minted, secrets, nowMs: NOW_MS })
    const good = { ok: true, name: 'alice', expiresAtSeconds: 1_700_000_000 }
    expect(verify(['north'])).toEqual(good)
    expect(verify(['east', 'north'])).toEqual(good)
    expect(verify(['south'])).toEqual({ ok: false, reason: 'wrong-password' })
    expect(verify(['south', 'east'])).toEqual({ ok: false, reason: 'wrong-password' })
  })

  it('[STUN72] credentials are expired from the second of their expiry on', () => {
    const minted = mintTurnCredentials({
      secrets: ['north'],
      name: 'a',
      ttlSeconds: 300,
      uris,
      nowMs: NOW_MS,
    })
    const at = (nowMs: number): unknown => verifyTurnCredentials({ ...minted, secrets: ['north'], nowMs })
    expect(at(1_699_999_999_999)).toMatchObject({ ok: true })
    expect(at(1_700_000_000_000)).toEqual({ ok: false, reason: 'expired' })
  })

  it.each(['', 'alice', ':alice', '17e8:alice', '-1:alice', ' 1700000000:alice', '1234567890123456:alice'])(
    '[STUN72] %j is malformed',
    (username) => {
      const verdict = verifyTurnCredentials({ secrets: ['north'], username, password: '', nowMs: 0 })
      expect(verdict).toEqual({ ok: false, reason: 'malformed' })
    },
  )

  it('[STUN72] any name verifies, also one with colons, and a changed name does not', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ minLength: 1 }), (name, secret) => {
        const minted = mintTurnCredentials({
          secrets: [secret],
          name,
          ttlSeconds: 60,
          uris: [],
          nowMs: NOW_MS,
        })
        const verify = (username: string): unknown =>
          verifyTurnCredentials({ ...minted, username, secrets: [secret], nowMs: NOW_MS })
        expect(verify(minted.username)).toMatchObject({ ok: true, name })
        expect(verify(`${minted.username}x`)).toEqual({ ok: false, reason: 'wrong-password' })
      }),
    )
  })
})
