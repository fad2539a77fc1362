import { describe, expect, test } from 'vitest'
import { peerOf, type App, type Name } from '@peerage/protocol'
import { verifyTurnCredentials } from '@peerage/stun'
import { defaultConfig, type Config } from '../../config/schema.js'
import { p2pAdvice } from './p2p-advice.js'

const NOW = 1_700_000_000_000 - 300_000

function advice(p2p: Partial<Config['p2p']>, udpPort: number | null = 9_001) {
  return p2pAdvice({ p2p: { ...defaultConfig.p2p, ...p2p }, udpPort: () => udpPort, now: () => NOW })
}

describe('the P2P server that peers are told', () => {
  test('is the integrated one, under the host name that the peer itself used', () => {
    const told = advice({})
    expect(told.server('app.example:9000')).toBe('app.example:9001')
    expect(told.server('app.example')).toBe('app.example:9001')
    expect(told.server('[2001:db8::1]:443')).toBe('[2001:db8::1]:9001')
    expect(told.server('127.0.0.1:9000')).toBe('127.0.0.1:9001')
    expect(told.server('[::1]:9000')).toBe('[::1]:9001')
    expect(told.server('[::1]')).toBe('[::1]:9001')
    expect(told.server('LOCALHOST:9000')).toBe('localhost:9001')
  })

  test.each([
    undefined,
    '',
    'evil host',
    'a/b',
    'x:y:z',
    'host:1:2',
    '::1',
    '[:::]:1',
    '[::1',
    '256.1.1.1',
    '1',
  ])('is none if the Host header (%j) is no host', (host) => {
    expect(advice({}).server(host)).toBeNull()
  })

  test('is the advertised one, if that is set', () => {
    expect(advice({ advertise: 'stun.example:3478' }).server('app.example')).toBe('stun.example:3478')
  })

  test('is the standalone one if there is one, with or without the integrated one', () => {
    const server = 'stun.example:9901'
    expect(advice({ server, advertise: 'other:1' }).server('app.example')).toBe(server)
    expect(advice({ server }, null).server(undefined)).toBe(server)
  })

  test('is none if no server runs, even if one is advertised', () => {
    expect(advice({}, null).server('app.example')).toBeNull()
    expect(advice({ advertise: 'a:1' }, null).server('app.example')).toBeNull()
  })
})

describe('TURN credentials', () => {
  const turn = { urls: ['turn:t.example:3478'], secret: 'north', previousSecret: 'south', ttlMs: 300_000 }

  const peer = (app: string, name: string) => peerOf(app as App, name as Name)

  test('are signed with the current secret, and the TURN server accepts them until they expire', () => {
    const minted = advice({}).turn(peer('shop', 'alice'), turn)
    expect(minted).toMatchObject({ urls: ['turn:t.example:3478'], ttlMs: 300_000 })
    const given = { username: minted?.username ?? '', password: minted?.credential ?? '' }
    const verify = (secret: string, nowMs: number) =>
      verifyTurnCredentials({ ...given, secrets: [secret], nowMs })
    expect(verify('north', NOW)).toMatchObject({ ok: true, expiresAtSeconds: 1_700_000_000 })
    expect(verify('north', NOW + 300_000)).toEqual({ ok: false, reason: 'expired' })
    expect(verify('south', NOW)).toEqual({ ok: false, reason: 'wrong-password' })
  })

  test('belong to one peer of one app, whatever its name contains, and do not reveal the name', () => {
    const users = [peer('shop', 'alice'), peer('game', 'alice'), peer('shop', `a 'b"; \\ : /é`)].map(
      (one) => advice({}).turn(one, turn)?.username ?? '',
    )
    expect(new Set(users).size).toBe(3)
    for (const user of users) expect(user).toMatch(/^1700000000:(shop|game)\/[0-9a-f]{32}$/)
  })

  test('do not exist without a secret', () => {
    expect(advice({}).turn(peer('shop', 'alice'), { ...turn, secret: null })).toBeNull()
  })
})
