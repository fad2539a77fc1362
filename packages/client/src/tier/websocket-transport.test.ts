import { parseSecret } from '@peerage/protocol'
import type { Hello, NodeMessage, ProtocolError } from '@peerage/protocol'
import { beforeEach, expect, test } from 'vitest'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { platform } from '../testing/platform.js'
import { whyNotOpened } from '../platform/why-not-opened.js'
import { endpointOf, openFailure, websocketTransport } from './websocket-transport.js'
import type { Transport } from './transport.js'

/** The part of a WebSocket that the transport uses. */
class FakeSocket extends EventTarget {
  static readonly OPEN = 1
  static readonly CLOSED = 3
  static last: FakeSocket
  readonly sent: string[] = []
  readyState = 1

  constructor(readonly url: string) {
    super()
    FakeSocket.last = this
  }
  send(text: string): void {
    this.sent.push(text)
  }
  close(code = 1005): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.dispatchEvent(Object.assign(new Event('close'), { code }))
  }
  receive(data: unknown): void {
    this.dispatchEvent(new MessageEvent('message', { data }))
  }
}

const OPEN = '0{"sid":"x","pingInterval":10000,"pingTimeout":5000,"upgrades":[],"maxPayload":65536}'
const CLOSING = '42["closing",{"reason":"drain","retryAfterMs":5}]'

let clock: FakeClock
let transport: Transport
let events: { type: string; with: NodeMessage | ProtocolError | number }[]
let hello: Hello

beforeEach(() => {
  clock = new FakeClock()
  events = []
  const secret = parseSecret('s'.repeat(22))
  if (!secret.ok) throw new Error(secret.problem)
  hello = { v: 1, secret: secret.value }
  const note =
    (type: string) =>
    (what: NodeMessage | ProtocolError | number): void =>
      void events.push({ type, with: what })
  const Socket = FakeSocket as unknown as typeof WebSocket
  transport = websocketTransport(
    'ws://tier/peerage/',
    Socket,
    clock,
  )(hello, {
    message: note('message'),
    malformed: note('malformed'),
    refused: note('refused'),
    closed: note('closed'),
  })
})

const socket = (): FakeSocket => FakeSocket.last

test('the endpoint is /peerage/ below the path of the URL, over WebSocket only', () => {
  expect(endpointOf('https://host')).toBe('wss://host/peerage/?EIO=4&transport=websocket')
  expect(endpointOf('http://host:9000/tier/')).toBe('ws://host:9000/tier/peerage/?EIO=4&transport=websocket')
  expect(endpointOf('wss://host/a/b')).toBe('wss://host/a/b/peerage/?EIO=4&transport=websocket')
  for (const url of ['https://host/?token=1', 'https://host/#a', 'wss://host/tier?x#y'])
    expect(() => endpointOf(url)).toThrow(
      /^url must not have a query \(\?\) or hash \(#\): .* the option `token`$/,
    )
  for (const url of ['https://ann:secret@host', 'https://ann@host/?x', 'https://:secret@host'])
    expect(() => endpointOf(url)).toThrow(
      new TypeError('url must not have a user or password: pass the option `token` to connect()'),
    )
  for (const url of ['ws:host', 'http://', 'http:/127.0.0.1', 'http://127.0.0.1:99999', 'https://[::1:1'])
    expect(() => endpointOf(url)).toThrow(
      new TypeError(
        `url must be an address such as https://peerage.example or http://localhost:9000; it is ${JSON.stringify(url)}`,
      ),
    )
  for (const url of ['ftp://host', '', '/tier'])
    expect(() => endpointOf(url)).toThrow(
      new TypeError(`url must begin with http://, https://, ws:// or wss://; it is ${JSON.stringify(url)}`),
    )
  for (const url of ['localhost:9000', '127.0.0.1:9000', 'tier.example', '[::1]:9000'])
    expect(() => endpointOf(url)).toThrow(
      new TypeError(
        `url must begin with http://, https://, ws:// or wss://; it is "${url}": did you mean "http://${url}"?`,
      ),
    )
  expect(endpointOf(new URL('https://host'))).toBe(endpointOf('https://host'))
})

test('[WH1] the hello is sent once the engine is open, and pings are answered', () => {
  expect(transport.send({ type: 'leave' })).toBe(false)
  socket().receive(OPEN)
  expect(socket().sent).toEqual([`40${JSON.stringify(hello)}`])
  socket().receive('40{"sid":"y"}')
  socket().receive('2')
  expect(transport.send({ type: 'unwatch', names: [] })).toBe(true)
  expect(socket().sent.slice(1)).toEqual(['3', '42["unwatch",{"names":[]}]'])
})

test('[WC5] a hello can be withdrawn before its answer, and the close waits for the node', async () => {
  socket().receive(OPEN)
  expect(transport.send({ type: 'leave', onlyNew: true })).toBe(true)
  expect(socket().sent.slice(1)).toEqual(['42["leave",{"onlyNew":true}]'])
  let closed = false
  void transport.close()?.then(() => (closed = true))
  await clock.advance(1_999)
  // The node closes the connection when the name is free.
  expect([closed, socket().readyState]).toEqual([false, FakeSocket.OPEN])
  socket().close(4501)
  await clock.advance(0)
  expect(closed).toBe(true)
  expect(clock.pending).toBe(0)
  expect(transport.send({ type: 'leave' })).toBe(false)
})

test('a close without an answer of the node ends after 2 s, and terminates the socket if it can', async () => {
  socket().receive(OPEN)
  let ended = 0
  Object.assign(socket(), { close: () => {}, terminate: () => ended++ })
  let closed = false
  void transport.close()?.then(() => (closed = true))
  await clock.advance(2_000)
  expect([closed, ended, clock.pending]).toEqual([true, 1, 0])
})

test('[WF1] [WF3] [WF4] events are decoded; an unreadable one is reported and does not end the connection', () => {
  socket().receive(OPEN)
  socket().receive('40{"sid":"y"}')
  socket().receive(CLOSING)
  socket().receive('42["nonsense",{}]')
  socket().receive('42["closing",{"reason":7}]')
  socket().receive('42{broken')
  socket().receive('42["closing"]')
  socket().receive(new ArrayBuffer(3))
  socket().receive('6')
  expect(
    events.map(({ type, with: what }) => [type, typeof what === 'object' && 'code' in what && what.code]),
  ).toEqual([
    ['message', false],
    ['malformed', 'unknown-type'],
    ['malformed', 'bad-field'],
    ['malformed', 'bad-frame'],
    ['malformed', 'bad-field'],
  ])
})

test('[WL6] the error of a failed connection says what Node knows of the reason', async () => {
  const FromPackage = await platform.findWebSocket()
  const why = await new Promise<unknown>((resolve) => {
    const none = (): void => {}
    // Nothing listens on port 1 of this machine.
    websocketTransport(
      'ws://127.0.0.1:1/',
      FromPackage,
      new FakeClock(),
      whyNotOpened,
    )(hello, {
      message: none,
      malformed: none,
      refused: none,
      closed: (_code, cause) => resolve(cause),
    })
  })
  expect(why).toMatchObject({
    code: 'unreachable',
    message:
      'no WebSocket to ws://127.0.0.1:1/ could be opened: connect ECONNREFUSED 127.0.0.1:1. ' +
      'Nothing listens there. Is the node running, and is the port right?',
    cause: { code: 'ECONNREFUSED' },
  })
})

// Node 22's own WebSocket fires only `error` for a failed connection. Browsers and Node 24 fire `close` after it.
test('[WC1] an error before anything came is a cut, also without a close event, and reported once', () => {
  socket().dispatchEvent(new Event('error'))
  socket().close(1006)
  expect(events).toEqual([{ type: 'closed', with: 1006 }])
  expect(clock.pending).toBe(0)
})

test('[WL6] the error names the first of several addresses that were tried, and only the reason of the text of OpenSSL', () => {
  const told = (error: unknown): string =>
    openFailure('wss://host/peerage/?EIO=4', whyNotOpened(error), error).message
  const refused = Object.assign(new Error('connect ECONNREFUSED ::1:1'), { code: 'ECONNREFUSED' })
  expect(told(new AggregateError([refused, new Error('x')]))).toContain(
    ': connect ECONNREFUSED ::1:1. Nothing',
  )
  const tls = Object.assign(new Error('write EPROTO 00A8:error:0A00010B:SSL routines:ssl3_get_record:…'), {
    code: 'EPROTO',
    reason: 'wrong version number',
  })
  expect(told(tls)).toContain('opened: wrong version number (EPROTO). The server there does not use TLS')
  const long = '40A8:error:0A0000C6:SSL routines:tls_get_more_records:packet length too long:../ssl.c:653:\n'
  expect(told(Object.assign(new Error(long), { code: 'ERR_SSL_PACKET_LENGTH_TOO_LONG' }))).toContain(
    'opened: packet length too long (ERR_SSL_PACKET_LENGTH_TOO_LONG). The server there does not use TLS',
  )
  expect(told(undefined)).toMatch(
    /^no WebSocket to wss:\/\/host\/peerage\/ could be opened: this platform does not say/,
  )
  expect(told(new Error('something new'))).toContain('opened: something new. Is the node running')
})

test.each([
  '42[{"toString":1,"valueOf":1},{}]',
  '42[{"toString":null}]',
  '44{"data":{"code":"name-taken","detail":{"toString":1,"valueOf":1}}}',
])('[WF8] values that cannot be converted to text (%s) do not throw', (packet) => {
  socket().receive(OPEN)
  socket().receive(packet)
  expect(events).toHaveLength(1)
})

test('[WC3] [WF8] nor does a ping time that cannot be converted to a number', async () => {
  socket().receive('0{"pingInterval":{"toString":1,"valueOf":1},"pingTimeout":1}')
  socket().receive('40{"sid":"y"}')
  await clock.advance(10_000)
  expect(events).toEqual([{ type: 'closed', with: 1006 }])
})

test('[WL6] a server that sends nothing, and one that closes at once, have error texts of their own', async () => {
  const told: (Error | undefined)[] = []
  const none = (): void => {}
  const open = (): Transport =>
    websocketTransport(
      'ws://tier/peerage/',
      FakeSocket as unknown as typeof WebSocket,
      clock,
    )(hello, { message: none, malformed: none, refused: none, closed: (_code, cause) => told.push(cause) })
  open()
  await clock.advance(8_000)
  open()
  socket().dispatchEvent(new Event('open'))
  socket().close(1000)
  expect(told.map((error) => error?.message)).toEqual([
    'no WebSocket to ws://tier/peerage/ could be opened: nothing came within 8 s. Is it a node that listens there, and does the proxy in front of it forward WebSocket?',
    'no WebSocket to ws://tier/peerage/ could be opened: it was opened, and closed with code 1000 before anything came. Is it a node that listens there?',
  ])
})

test('[WH2] a refused hello is reported with its error, once', () => {
  socket().receive(OPEN)
  socket().receive(
    '44{"message":"x","data":{"code":"name-taken","detail":"the name is taken","retryAfterMs":9}}',
  )
  socket().receive('44{"message":"again"}')
  expect(events).toEqual([
    { type: 'refused', with: { code: 'name-taken', detail: 'the name is taken', retryAfterMs: 9 } },
  ])
  expect(socket().readyState).toBe(3)
})

test.each(['44{"message":"x"}', '44{"data":{"code":"nonsense"}}', '44', '41', '44null'])(
  '[WC1] a packet that ends the connection without an error of ours (%s) is a cut',
  (packet) => {
    socket().receive(OPEN)
    socket().receive(packet)
    expect(events).toEqual([{ type: 'closed', with: 1006 }])
  },
)

test('[WC1] the close code is reported once', () => {
  socket().receive(OPEN)
  socket().receive('40{"sid":"y"}')
  socket().close(4500)
  socket().close(4500)
  expect(events).toEqual([{ type: 'closed', with: 4500 }])
  expect(transport.send({ type: 'leave' })).toBe(false)
  expect(clock.pending).toBe(0)
})

test('[WC3] a node that falls silent is a cut after its ping interval and timeout', async () => {
  socket().receive(OPEN)
  socket().receive('40{"sid":"y"}')
  await clock.advance(14_000)
  socket().receive('2')
  await clock.advance(14_999)
  expect(events).toEqual([])
  await clock.advance(1)
  expect(events).toEqual([{ type: 'closed', with: 1006 }])
  expect(clock.pending).toBe(0)
})

test('[WC3] a ping that is late because of other traffic does not count as silence', async () => {
  socket().receive(OPEN)
  socket().receive('40{"sid":"y"}')
  for (let passed = 0; passed < 60_000; passed += 14_000) {
    await clock.advance(14_000)
    socket().receive('42["presence",{"name":"bob","state":"online","since":1}]')
  }
  expect(events.filter(({ type }) => type === 'closed')).toEqual([])
  await clock.advance(14_999)
  expect(events.at(-1)).toMatchObject({ type: 'message' })
  await clock.advance(1)
  expect(events.at(-1)).toEqual({ type: 'closed', with: 1006 })
  expect(clock.pending).toBe(0)
})

test.each([
  '{}',
  '[]',
  '{"pingInterval":"x"}',
  '{"pingInterval":-5,"pingTimeout":1}',
  '{"pingInterval":1e15,"pingTimeout":1}',
])(
  '[WC3] a node that names no valid ping time (%s) and falls silent is a cut after a default time',
  async (opened) => {
    socket().receive(`0${opened}`)
    socket().receive('40{"sid":"y"}')
    await clock.advance(9_999)
    expect(events).toEqual([])
    await clock.advance(1)
    expect(events).toEqual([{ type: 'closed', with: 1006 }])
  },
)

test('after closing there are no more events, whatever still comes', () => {
  socket().receive(OPEN)
  socket().receive('40{"sid":"y"}')
  void transport.close()
  socket().receive(CLOSING)
  void transport.close()
  expect(events).toEqual([])
  expect(clock.pending).toBe(0)
})
