import { describe, expect, test } from 'vitest'
import { config } from '../testing/load-config.js'
import { checkBacklog, checkProxies } from './doctor-checks.js'

describe('the number of connections that may wait to be accepted', () => {
  test.each([
    ['4096\n', 'ok', /^4096 connections/],
    ['511\n', 'warn', /^only 511 .*net\.core\.somaxconn to 4096/],
  ])('somaxconn %j: %s', (content, verdict, text) => {
    const asked: string[] = []
    const found = checkBacklog((path) => {
      asked.push(path)
      return content
    })
    expect(asked).toEqual(['/proc/sys/net/core/somaxconn'])
    expect(found.verdict).toBe(verdict)
    expect(found.text).toMatch(text)
  })

  test('without that file, it says that it does not know', () => {
    const found = checkBacklog(() => {
      throw new Error('ENOENT')
    })
    expect(found).toMatchObject({ verdict: 'warn', subject: 'backlog' })
  })
})

describe('the addresses whose X-Forwarded-For counts', () => {
  const found = (trustedProxies: string): string[] =>
    checkProxies(config({ env: { PEERAGE_TRUSTED_PROXIES: trustedProxies } })).map(
      ({ verdict, text }) => `${verdict} ${text}`,
    )

  test.each([
    '10.0.0.5',
    '10.244.3.0/24',
    '172.16.16.0/20',
    'fd00:1:2:3::/64',
    // Networks of a CDN.
    '104.16.0.0/13',
    '2a06:98c0::/29',
  ])('%s is narrow enough', (network) => {
    expect(found(network)).toEqual([`ok ${network}`])
  })

  test.each([
    '10.0.0.0/8',
    '10.244.0.0/16',
    '192.168.0.0/16',
    '100.64.0.0/10',
    'fd00::/8',
    '0.0.0.0/0',
    '::/0',
    '8.0.0.0/8',
  ])('%s is so wide that it has others than balancers', (network) => {
    const text = `warn ${network}: everything there may name any address as that of its peer; list only the addresses of your balancers in trustedProxies`
    expect(found(`10.0.0.5,${network}`)).toEqual([text])
  })

  test('without proxies there is nothing to say', () => {
    expect(checkProxies(config({}))).toEqual([])
  })
})
