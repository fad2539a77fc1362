import { describe, expect, test } from 'vitest'
import { defaultConfig, type Config } from './config.js'
import { p2pAdvice } from './p2p.js'

const NOW = 1_700_000_000_000 - 300_000

function advice(p2p: Partial<Config['p2p']>, udpPort: number | null = 9_001) {
  return p2pAdvice({ p2p: { ...defaultConfig.p2p, ...p2p }, udpPort: () => udpPort, now: () => NOW })
}

describe('which P2P server peers are told', () => {
  test('the integrated one, by the name that the peer itself used', () => {
    const told = advice({})
    expect(told.server('app.example:9000')).toBe('app.example:9001')
    expect(told.server('app.example')).toBe('app.example:9001')
    expect(told.server('[2001:db8::1]:443')).toBe('[2001:db8::1]:9001')
    expect(told.server('127.0.0.1:9000')).toBe('127.0.0.1:9001')
  })

  test.each([undefined, '', 'evil host', 'a/b', 'x:y:z', 'host:1:2'])(
    'none where the Host header (%j) is no host',
    (host) => {
      expect(advice({}).server(host)).toBeNull()
    },
  )

  test('what is advertised instead, where that is set', () => {
    expect(advice({ advertise: 'stun.example:3478' }).server('app.example')).toBe('stun.example:3478')
  })

  test('a standalone one before the integrated one, and without it', () => {
    const server = 'stun.example:9901'
    expect(advice({ server, advertise: 'other:1' }).server('app.example')).toBe(server)
    expect(advice({ server }, null).server(undefined)).toBe(server)
  })

  test('none where there is none, whatever would be advertised for it', () => {
    expect(advice({}, null).server('app.example')).toBeNull()
    expect(advice({ advertise: 'a:1' }, null).server('app.example')).toBeNull()
  })
})

describe('TURN credentials', () => {
  const turn = { urls: ['turn:t.example:3478'], secret: 'north', previousSecret: 'south', ttlMs: 300_000 }

  test('are signed with the current secret, as the REST draft says', () => {
    expect(advice({ turn }).turn('alice')).toEqual({
      urls: ['turn:t.example:3478'],
      username: '1700000000:alice',
      credential: 'Cd/49soE35ICqcJF/bCTn8Z4OyE=',
      ttlMs: 300_000,
    })
  })

  test('there are none without a secret', () => {
    expect(advice({}).turn('alice')).toBeNull()
  })
})
