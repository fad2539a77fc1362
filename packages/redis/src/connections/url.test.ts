import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseRedisUrl } from './url.js'

test.each([
  ['redis://h', { topology: 'standalone', tls: false, host: 'h', port: 6379, database: 0 }],
  ['rediss://h:1/2', { topology: 'standalone', tls: true, host: 'h', port: 1, database: 2 }],
  ['redis://[::1]:6380', { topology: 'standalone', tls: false, host: '::1', port: 6380, database: 0 }],
  ['redis://:p@h', { topology: 'standalone', tls: false, host: 'h', port: 6379, database: 0, password: 'p' }],
  [
    'redis://u%40x:p%3A%2F%40@h/',
    {
      topology: 'standalone',
      tls: false,
      host: 'h',
      port: 6379,
      database: 0,
      username: 'u@x',
      password: 'p:/@',
    },
  ],
  [
    'redis+sentinel://u:p@a,b:1/mymaster/3',
    {
      topology: 'sentinel',
      tls: false,
      sentinels: [
        { host: 'a', port: 26379 },
        { host: 'b', port: 1 },
      ],
      name: 'mymaster',
      database: 3,
      username: 'u',
      password: 'p',
    },
  ],
  [
    'rediss+cluster://a:7000,b:7001',
    {
      topology: 'cluster',
      tls: true,
      nodes: [
        { host: 'a', port: 7000 },
        { host: 'b', port: 7001 },
      ],
    },
  ],
])('%s', (url, address) => {
  expect(parseRedisUrl(url)).toEqual({ ok: true, address })
})

test.each([
  ['', 'must look like'],
  ['h:6379', 'must look like'],
  ['localhost:21040', '; did you mean redis://localhost:21040?'],
  ['10.0.0.5:6379/1', '; did you mean redis://10.0.0.5:6379/1?'],
  ['[::1]:6379', '; did you mean redis://[::1]:6379?'],
  ['http://h', 'scheme must be'],
  ['toString://h', 'must look like'],
  ['redis://', 'hosts must be'],
  ['redis://h:0', 'hosts must be'],
  ['redis://h:65536', 'hosts must be'],
  ['redis://h:x', 'hosts must be'],
  ['redis://a,b', 'takes one host'],
  ['redis://h/x', 'database number'],
  ['redis://h/1/2', 'database number'],
  ['redis://u:%zz@h', 'percent escape'],
  ['redis+sentinel://h', 'must name the master'],
  ['redis+sentinel://h/m/x', 'database number'],
  ['redis+cluster://h/0', 'no databases'],
  ['redis://h?x=1', 'must look like'],
])('%s is refused', (url, words) => {
  const parsed = parseRedisUrl(url)
  expect(parsed.ok ? '' : parsed.problem).toContain(words)
})

test.each(['u:geheim@h:6379', 'geheim', 'geheim:1@h', ':geheim@h:1'])(
  '%s is refused without a hint',
  (url) => {
    const parsed = parseRedisUrl(url)
    expect(parsed.ok ? '' : parsed.problem).toMatch(/^must look like [^;]*$/)
  },
)

test('no problem contains the password', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[A-Z]{8,12}$/), fc.string({ maxLength: 8 }), (password, rest) => {
      const parsed = parseRedisUrl(`redis://u:${password}@${rest}`)
      if (!parsed.ok) expect(parsed.problem).not.toContain(password)
    }),
  )
})
