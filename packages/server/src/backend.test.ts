import { systemClock } from '@peerage/core'
import { memoryCluster } from '@peerage/core/memory'
import { expect, test } from 'vitest'
import { addressWarning, linksOptions, startFailure } from './backend.js'
import { configSchema, type ConfigInput } from './config/schema.js'

function options(links: ConfigInput['links'], store: object = {}) {
  const told: unknown[] = []
  const made = linksOptions(
    configSchema.parse({ links }),
    { ...memoryCluster().backend(), ...store },
    {
      clock: systemClock,
      onError: (error, context) => void told.push([error, context]),
      undelivered: () => {},
      onEvent: () => {},
    },
  )
  return { made, told }
}

test('there are no links unless a host is given', () => {
  expect(options({}).made).toBeUndefined()
  expect(options({ host: '10.0.0.1' }).made).toMatchObject({
    host: '10.0.0.1',
    port: 0,
    advertise: null,
    most: 256,
    plain: false,
  })
})

test('the advertised address of a node is parsed', () => {
  const { made } = options({ host: '::', port: 9_200, advertise: '[fd00::1]:9201', plain: true, most: 3 })
  expect(made).toMatchObject({
    port: 9_200,
    advertise: { host: 'fd00::1', port: 9_201 },
    plain: true,
    most: 3,
  })
})

test('the address of this machine is the one that Redis sees, if the store knows it', () => {
  expect(options({ host: '::' }).made?.localAddress()).toBeUndefined()
  const seen: { address?: string } = {}
  const { made } = options({ host: '::' }, { localAddress: () => seen.address })
  expect(made?.localAddress()).toBeUndefined()
  seen.address = '10.0.0.7'
  expect(made?.localAddress()).toBe('10.0.0.7')
})

test('a failed link is reported with advice, and another failure without', () => {
  const { made, told } = options({ host: '::' })
  const error = new Error('connect ECONNREFUSED 10.0.0.7:9200')
  made?.onError(error, { stage: 'link', to: 'n' })
  made?.onError(error, { stage: 'announce' })
  expect(told).toEqual([
    [
      error,
      {
        stage: 'link',
        to: 'n',
        advice: expect.stringMatching(/^this node cannot connect to the other node\. .*peerage doctor/),
      },
    ],
    [error, { stage: 'announce' }],
  ])
})

test('a port for links that cannot be opened is reported with its flag, and another failure is unchanged', () => {
  const config = configSchema.parse({ links: { host: '10.0.0.1', port: 9_200 } })
  const failed = (code: string, syscall: string): Error => Object.assign(new Error(code), { code, syscall })
  expect(startFailure(failed('EADDRINUSE', 'listen'), config)).toMatchObject({
    name: 'PortUnavailable',
    message: expect.stringMatching(
      /^TCP port 9200 on 10\.0\.0\.1 is taken by another process .*change links\.port \(--links-port\)$/,
    ),
  })
  expect(startFailure(failed('EADDRNOTAVAIL', 'listen'), config)).toMatchObject({
    message: expect.stringContaining('no such address; change links.host (--links-host)'),
  })
  expect(startFailure(failed('ENOTFOUND', 'getaddrinfo'), config)).toMatchObject({
    message: expect.stringContaining('no address is known for 10.0.0.1; change links.host (--links-host)'),
  })
  const other = new Error('Redis is too old')
  expect(startFailure(other, config)).toBe(other)
  const taken = failed('EADDRINUSE', 'listen')
  expect(startFailure(taken, configSchema.parse({}))).toBe(taken)
})

test.each([
  ['0.0.0.0', '127.0.0.1:9200', true],
  ['::', '[::1]:9200', true],
  ['10.0.0.1', 'localhost:9200', true],
  ['0.0.0.0', '10.0.0.7:9200', false],
  ['127.0.0.1', '127.0.0.1:9200', false],
  ['localhost', '127.0.0.1:9200', false],
  ['0.0.0.0', null, false],
])(
  'a node that listens for links on %s and announces %s warns that only this machine can reach it: %s',
  (host, address, isTold) => {
    const said = addressWarning(configSchema.parse({ links: { host } }), address)
    if (isTold)
      expect(said).toContain(
        `this node announces ${address}, which only this machine can reach: set links.advertise`,
      )
    else expect(said).toBeUndefined()
  },
)
