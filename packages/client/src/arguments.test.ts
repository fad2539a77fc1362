import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Channel } from './p2p/channel/channel.js'
import * as manual from './entries/manual-node.js'
import * as node from './entries/node.js'
import * as nodeOnly from './entries/node-only.js'
import type { ConnectOptions } from './connect.js'
import * as index from './index.js'
import type { ManualOffer } from './p2p/manual/manual.js'
import type { P2P } from './p2p/controls.js'
import { Peer } from './peer.js'
import * as react from './react.js'
import { Mesh } from './rooms/rooms.js'
import type { Room } from './rooms/rooms.js'
import { Controllers } from './testing/controllers.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { FakeTier } from './testing/fake-tier.js'
import { Rendezvous } from './testing/rendezvous.js'

// Wrong arguments, as a program without types or with a typing error passes them. The call rejects at once, or throws
// if it returns no promise, and names the argument. No error appears elsewhere: vitest fails for one that is not
// handled.

const { connect } = node
const { answerManually, offerManually } = manual
const { createHooks } = react

const clock = new FakeClock()
const tier = new FakeTier(clock)
const controllers = new Controllers()
let peer: Peer
let room: Room
let mesh: Mesh
let p2p: P2P
let channel: Channel
let offer: ManualOffer

/** A value that the types would refuse. */
const wrong = (value: unknown): never => value as never

beforeAll(async () => {
  const joining = connect('http://tier', { clock, transport: tier.open, p2p: false, name: 'ann' })
  await clock.advance(5)
  peer = await joining
  const entering = peer.join('hall')
  await vi.waitFor(() => expect(tier.sent.some(({ type }) => type === 'join')).toBe(true), 10_000)
  const asked = tier.sent.find((frame) => frame.type === 'join')
  if (asked?.type !== 'join') throw new Error('a join was asked for')
  tier.hand('ann', { type: 'roomed', id: asked.id, room: asked.room, members: [], more: false })
  room = await entering
  const rendezvous = new Rendezvous()
  p2p = controllers.make(rendezvous, 'bob')
  controllers.make(rendezvous, 'cas')
  channel = await p2p.connect('cas')
  offer = await offerManually()
  const context = rendezvous.context('dan')
  mesh = new Mesh(wrong(context), p2p, wrong({ members: [], on: () => () => {}, leave: async () => {} }))
})

afterAll(() => {
  peer.close()
  offer.close()
  return controllers.close()
})

const options = (given: unknown): ConnectOptions => ({
  clock,
  transport: tier.open,
  p2p: false,
  ...(given as ConnectOptions),
})
const at = (given: unknown): Promise<unknown> => connect('http://tier', options(given))
const nothing = (): void => {}

const listenOn = (one: { on(event: never, listener: () => void): unknown }, event: string): unknown =>
  one.on(wrong(event), nothing)

/** Calls `send` with two arguments, which the types would refuse. */
const sendTwo = (one: { send(data: string, more?: never): unknown }, more: unknown): unknown =>
  one.send('bob', wrong(more))

type Rows = [what: string, call: () => unknown, message: string | RegExp][]

const rejections: Rows = [
  ...[undefined, null, 5, {}, ['http://tier']].map((url): Rows[number] => [
    `connect(${JSON.stringify(url)})`,
    () => connect(wrong(url)),
    /^url must be a string; it is /,
  ]),
  ...['http://', 'http://[', 'http://tier:99999'].map((url): Rows[number] => [
    `connect('${url}')`,
    () => connect(url),
    'url must be an address such as https://peerage.example or http://localhost:9000; it is ',
  ]),
  ...['localhost:9000', 'tier.example', 'ftp://tier', ''].map((url): Rows[number] => [
    `connect('${url}')`,
    () => connect(url),
    'url must begin with http://, https://, ws:// or wss://; it is ',
  ]),
  ...[null, 5, 'name', true].map((given): Rows[number] => [
    `connect(url, ${String(given)})`,
    () => connect('http://tier', wrong(given)),
    'options must be a plain object; it is ',
  ]),
  [
    'connect(url, [])',
    () => connect('http://tier', wrong([])),
    'options must be a plain object; it is an array',
  ],
  [
    'connect: p2p is a Map',
    () => at({ p2p: new Map([['relayOnly', true]]) }),
    'p2p must be a plain object or false; it is an object (Map)',
  ],
  ['connect: nmae', () => at({ nmae: 'x' }), 'there is no option "nmae": did you mean "name"?'],
  ['connect: timeout', () => at({ timeout: 5 }), 'there is no option "timeout": did you mean "timeoutMs"?'],
  ['connect: Token', () => at({ Token: 'x' }), 'did you mean "token"?'],
  [
    'connect: iceServers',
    () => at({ iceServers: [] }),
    /^there is no option "iceServers": the node sets them \(`p2p\.turn\.urls`\), and so does the option `p2pServer`\. There are: name, app/,
  ],
  ['connect: id', () => at({ id: 'x' }), 'there is no option "id": did you mean "name"? There are: name'],
  ...['username', 'user'].map((key): Rows[number] => [
    `connect: ${key}`,
    () => at({ [key]: 'x' }),
    `there is no option "${key}": did you mean "name"?`,
  ]),
  ['connect: deadlineMs', () => at({ deadlineMs: 5 }), 'did you mean "timeoutMs"?'],
  ['connect: error', () => at({ error: nothing }), 'there is no option "error". There are: name'],
  ['connect: host', () => at({ host: 'x' }), 'there is no option "host". There are: name, app'],
  [
    'connect: p2p.iceServers',
    () => at({ p2p: { iceServers: [] } }),
    'there is no option "iceServers": the node sets them (`p2p.turn.urls`)',
  ],
  ['connect: token 5', () => at({ token: 5 }), 'token must be a string or a function; it is 5'],
  ['connect: token null', () => at({ token: null }), 'token must be a string or a function; it is null'],
  ['connect: name 5', () => at({ name: 5 }), 'name must be a string; it is 5'],
  ['connect: name empty', () => at({ name: '' }), 'name must not be empty; it is ""'],
  ['connect: app', () => at({ app: 'My App' }), /^app must be 1 to 32 .* -; it is "My App"$/],
  ['connect: secret', () => at({ secret: 'short' }), /^secret must be 22 to 64 .*; it has 5 characters$/],
  [
    'connect: storage',
    () => at({ storage: {} }),
    /^storage must be an IdentityStorage \(.*\) or null; it is an object$/,
  ],
  [
    'connect: storage is a path',
    () => at({ storage: './peer.json' }),
    /fileStorage\('\.\/peer\.json'\) of @peerage\/client\/node.*; it is "\.\/peer\.json"$/,
  ],
  [
    'connect: signal',
    () => at({ signal: new AbortController() }),
    'signal must be an AbortSignal; it is an object (AbortController)',
  ],
  ...[NaN, -1, '5', null].map((ms): Rows[number] => [
    `connect: timeoutMs ${ms}`,
    () => at({ timeoutMs: ms }),
    /^timeoutMs must be a number of milliseconds from 0 up; it is /,
  ]),
  ['connect: onRetry', () => at({ onRetry: 'log' }), 'onRetry must be a function; it is "log"'],
  ['connect: p2pServer', () => at({ p2pServer: 5 }), 'p2pServer must be a string or null; it is 5'],
  ['connect: p2pServer no port', () => at({ p2pServer: 'stun.example' }), 'p2pServer must be host:port'],
  ['connect: p2p true', () => at({ p2p: true }), 'p2p must be a plain object or false; it is true'],
  [
    'connect: p2p.relayonly',
    () => at({ p2p: { relayonly: true } }),
    'there is no option "relayonly": did you mean "relayOnly"?',
  ],
  ['connect: p2p.accept', () => at({ p2p: { accept: true } }), 'accept must be a function; it is true'],
  ...[Date, class extends EventTarget {}, () => {}].map((one): Rows[number] => [
    `connect: p2p.RTCPeerConnection ${String(one)}`,
    () => at({ p2p: { RTCPeerConnection: one } }),
    "RTCPeerConnection must be a class with the interface of the browser's RTCPeerConnection; it is a function",
  ]),
  ['connect: clock', () => at({ clock: {} }), 'clock must be a Clock; it is an object'],
  // This error once came only when a timer was cancelled. No caller saw it, and it ended the process.
  [
    'connect: clock.after',
    () => at({ clock: { now: Date.now, after: () => {} } }),
    'what `after` of `clock` returns must be a Timer; it is undefined',
  ],
  [
    'connect: transport',
    () => at({ transport: 'websocket' }),
    'transport must be a function; it is "websocket"',
  ],

  ['send to 5', () => peer.send(wrong(5), 1), 'to must be a string; it is 5'],
  ['send to no one', () => peer.send(wrong(undefined), 1), 'to must be a string; it is undefined'],
  ['send to a line', () => peer.send('a\nb', 1), /^to must be printable: .*; it is "a\\nb"$/],
  ['send to much', () => peer.send('x'.repeat(999), 1), /^to must be at most 128 .*; it is "x{64}…"$/],
  ['send to nobody', () => peer.send('', 1), 'to must not be empty; it is ""'],
  [
    'send undefined',
    () => peer.send('bob', undefined),
    'data must be a JSON value, a string or bytes (an ArrayBuffer or a view); it is undefined',
  ],
  ['send a function', () => peer.send('bob', nothing), 'it is a function'],
  ['send a symbol', () => peer.send('bob', Symbol('x')), 'it is Symbol(x)'],
  ['send a promise', () => peer.send('bob', Promise.resolve(1)), 'it is an object (Promise)'],
  ['send a Blob', () => peer.send('bob', new Blob(['x'])), 'it is an object (Blob)'],
  ['send a Map', () => peer.send('bob', new Map([[1, 2]])), 'it is an object (Map)'],
  ['send NaN', () => peer.send('bob', NaN), 'it is NaN'],
  ['send Infinity', () => peer.send('bob', -Infinity), 'it is -Infinity'],
  ['send a RegExp', () => peer.send('bob', /x/), 'it is an object (RegExp)'],
  ['send an Error', () => peer.send('bob', new RangeError('x')), 'it is an object (Error)'],
  ['send a bigint', () => peer.send('bob', { n: 1n }), 'data cannot be sent as JSON: '],
  ['send a circle', () => peer.send('bob', circle()), 'data cannot be sent as JSON: '],
  [
    'send: via',
    () => peer.send('bob', 1, { via: wrong('pigeon') }),
    'via must be one of "p2p-first", "p2p-only", "server"; it is "pigeon"',
  ],
  [
    'send: deadlineMs NaN',
    () => peer.send('bob', 1, { deadlineMs: NaN }),
    'deadlineMs must be a number of milliseconds from 0 to 300000; it is NaN',
  ],
  ...[300_001, 1e9, Infinity].map((ms): Rows[number] => [
    `send: deadlineMs ${ms}`,
    () => peer.send('bob', 1, { deadlineMs: ms }),
    `deadlineMs must be a number of milliseconds from 0 to 300000; it is ${ms}`,
  ]),
  ['send: timeout', () => peer.send('bob', 1, wrong({ timeout: 5 })), 'did you mean "deadlineMs"?'],
  ['send: deadline', () => peer.send('bob', 1, wrong({ deadline: 5 })), 'did you mean "deadlineMs"?'],
  ['send: null', () => peer.send('bob', 1, wrong(null)), 'options must be a plain object; it is null'],
  [
    'send: signal',
    () => peer.send('bob', 1, { signal: wrong({ aborted: false }) }),
    'signal must be an AbortSignal',
  ],
  ['lookup a text', () => peer.lookup(wrong('bob')), 'names must be an array; it is "bob"'],
  ['lookup nothing', () => peer.lookup(wrong(undefined)), 'names must be an array; it is undefined'],
  ['lookup a number', () => peer.lookup(['bob', wrong(5)]), 'names[1] must be a string; it is 5'],
  ['lookup: options', () => peer.lookup(['bob'], wrong(5)), 'options must be a plain object; it is 5'],
  ['watch nothing', () => peer.watch(wrong(undefined)), 'name must be a string; it is undefined'],
  ['watch a list', () => peer.watch(wrong(['x', 5])), 'name must be a string; it is an array'],
  [
    'watch: a signal without an object around it',
    () => peer.watch('bob', wrong(new AbortController().signal)),
    'options must be a plain object; it is an object (AbortSignal)',
  ],
  ['watch: signal', () => peer.watch('bob', { signal: wrong(5) }), 'signal must be an AbortSignal; it is 5'],
  ['join 5', () => peer.join(wrong(5)), 'room must be a string; it is 5'],
  ['join nothing', () => peer.join(wrong(undefined)), 'room must be a string; it is undefined'],
  ['join: null', () => peer.join('hall', wrong(null)), 'options must be a plain object; it is null'],
  ['mesh', () => peer.mesh('hall', wrong({ label: 'x' })), 'there is no option "label"'],
  ['room.send', () => room.send(undefined), 'data must be a JSON value'],
  // Users of `peer.send(to, data)` once sent the name to everybody, and lost the data.
  ...['x', { signal: AbortSignal.timeout(1e6) }].map((more): Rows[number] => [
    `room.send(data, ${typeof more})`,
    () => sendTwo(room, more),
    /^room\.send\(data\) sends to every member, and takes nothing but the data; the second argument is (?:"x"|an object)$/,
  ]),
  [
    'mesh.send(name, data)',
    () => sendTwo(mesh, 'x'),
    'mesh.send(data) sends to every member, and takes nothing but the data; the second argument is "x"',
  ],
  ['channel.send(name, data)', () => sendTwo(channel, 'x'), 'options must be a plain object; it is "x"'],
  [
    'mesh.send',
    () => mesh.send(wrong({ a: 1 })),
    'data must be a string, an ArrayBuffer or a view of one; it is an object',
  ],

  ['p2p.connect 5', () => p2p.connect(wrong(5)), 'to must be a string; it is 5'],
  ['p2p.connect nothing', () => p2p.connect(wrong(undefined)), 'to must be a string; it is undefined'],
  ['p2p.connect a symbol', () => p2p.connect(wrong(Symbol('x'))), 'to must be a string; it is Symbol(x)'],
  ['p2p.connect: null', () => p2p.connect('cas', wrong(null)), 'options must be a plain object; it is null'],
  ['p2p.connect: deadlineMs', () => p2p.connect('cas', { deadlineMs: NaN }), 'deadlineMs must be a number'],
  [
    'p2p.connect: label',
    () => p2p.connect('cas', { label: 'x'.repeat(129) }),
    'label must be a string of at most 128 characters',
  ],
  [
    'p2p.connect: ordered',
    () => p2p.connect('cas', { ordered: wrong('no') }),
    'ordered must be true or false; it is "no"',
  ],
  [
    'p2p.connect: maxRetransmits',
    () => p2p.connect('cas', { maxRetransmits: -1 }),
    'maxRetransmits must be a whole number from 0 to 65535; it is -1',
  ],
  ['p2p.diagnose', () => p2p.diagnose({ timeoutMs: wrong('long') }), 'timeoutMs must be a number'],
  [
    'channel.send 5',
    () => channel.send(wrong(5)),
    'data must be a string, an ArrayBuffer or a view of one; it is 5',
  ],
  ['channel.send an object', () => channel.send(wrong({ a: 1 })), 'it is an object'],
  ['channel.send nothing', () => channel.send(wrong(undefined)), 'it is undefined'],
  [
    'channel.send: signal',
    () => channel.send('x', { signal: wrong(5) }),
    'signal must be an AbortSignal; it is 5',
  ],

  ['offerManually(null)', () => offerManually(wrong(null)), 'options must be a plain object; it is null'],
  [
    'offerManually: clock.after',
    () => offerManually({ clock: wrong({ now: Date.now, after: () => {} }) }),
    'what `after` of `clock` returns must be a Timer; it is undefined',
  ],
  ['offerManually: peer', () => offerManually({ peer: '' }), 'peer must not be empty; it is ""'],
  ['offerManually: deadline', () => offerManually(wrong({ deadline: 5 })), 'did you mean "deadlineMs"?'],
  ['offerManually: p2pServer', () => offerManually({ p2pServer: 'x' }), 'p2pServer must be host:port'],
  ['answerManually(5)', () => answerManually(wrong(5)), 'offer must be a string; it is 5'],
  ['answerManually: text', () => answerManually('hello'), 'this text is not a manual offer'],
  ['offer.connect(5)', () => offer.connect(wrong(5)), 'answer must be a string; it is 5'],
  ['offer.connect: text', () => offer.connect('hello'), 'this text is not a manual answer'],
]

const throws: Rows = [
  [
    'peer.on mesage',
    () => peer.on(wrong('mesage'), nothing),
    'there is no event "mesage": did you mean "message"? There are: message, state, presence, error',
  ],
  ['peer.on constructor', () => peer.on(wrong('constructor'), nothing), 'there is no event "constructor"'],
  ['peer.on 5', () => peer.on(wrong(5), nothing), 'there is no event 5'],
  [
    'peer.on without a listener',
    () => peer.on('message', wrong(undefined)),
    'listener must be a function; it is undefined',
  ],
  ['peer.once', () => peer.once('message', wrong('log')), 'listener must be a function; it is "log"'],
  ['peer.once states', () => peer.once(wrong('states'), nothing), 'did you mean "state"?'],
  ['peer.off', () => peer.off(wrong('mesage'), nothing), 'did you mean "message"?'],
  [
    'peer.off without a listener',
    () => peer.off('message', wrong(undefined)),
    'listener must be a function; it is undefined',
  ],
  ['peer.unwatch', () => peer.unwatch(wrong(undefined)), 'name must be a string; it is undefined'],
  ['room.on', () => room.on(wrong('members'), nothing), 'did you mean "member"?'],
  ...['join', 'leave', 'joined', 'left', 'away', 'presence'].map((state): Rows[number] => [
    `room.on ${state}`,
    () => room.on(wrong(state), nothing),
    `there is no event "${state}": did you mean "member"? There are: message, member`,
  ]),
  ['room.on listener', () => room.on('member', wrong(null)), 'listener must be a function; it is null'],
  // Names that other libraries use, and events of another object of the SDK.
  ...(
    [
      ['peer', 'open', '"state"'],
      ['peer', 'close', '"state"'],
      ['peer', 'disconnected', '"state"'],
      ['peer', 'data', '"message"'],
      ['peer', 'connection', '"channel-opened" of `peer.p2p`'],
      ['peer', 'channel-closed', '"channel-closed" of `peer.p2p`'],
      ['peer', 'member', '"member" of a room'],
      ['p2p', 'connection', '"channel-opened"'],
      ['p2p', 'open', '"channel-opened"'],
      ['p2p', 'connect', '"channel-opened"'],
      ['p2p', 'close', '"channel-closed"'],
      ['p2p', 'error', '"connect-failed"'],
      ['p2p', 'data', '"message" of a channel'],
      ['p2p', 'state', '"state" of the peer'],
      ['room', 'error', '"error" of the peer'],
      ['mesh', 'join', '"member" of a room'],
      ['channel', 'open', '"channel-opened" of `peer.p2p`'],
      ['channel', 'error', '"error" of the peer'],
      ['channel', 'disconnect', '"close"'],
    ] as const
  ).map(([on, event, meant]): Rows[number] => [
    `${on}.on ${event}`,
    () => listenOn({ peer, p2p, room, mesh, channel }[on], event),
    `there is no event "${event}": did you mean ${meant}? There are: `,
  ]),
  ['mesh.on', () => mesh.on(wrong('channel-open'), nothing), 'did you mean "channel-opened"?'],
  ['p2p.on', () => p2p.on(wrong('channel-close'), nothing), 'did you mean "channel-closed"?'],
  ['p2p.channel', () => p2p.channel(wrong(undefined)), 'peer must be a string; it is undefined'],
  ['p2p.busy', () => p2p.busy(wrong(channel)), 'peer must be a string; it is an object'],
  [
    'channel.on',
    () => channel.on(wrong('data'), nothing),
    'there is no event "data": did you mean "message"? There are: message, close',
  ],
  [
    'channel.on opening',
    () => channel.on(wrong('opening'), nothing),
    'no event "opening". There are: message',
  ],
  ['channel.on listener', () => channel.on('close', wrong(5)), 'listener must be a function; it is 5'],
  [
    'createHooks',
    () => createHooks(wrong({})),
    'react must be React 18 or later, or preact/compat; it is an object',
  ],
  [
    'usePresence without a peer',
    () => hooks().usePresence(wrong(undefined), 'bob'),
    'peer must be a Peer; it is undefined',
  ],
  [
    'usePresence without a name',
    () => hooks().usePresence(peer, wrong(undefined)),
    'name must be a string or null; it is undefined',
  ],
  ['usePeerState', () => hooks().usePeerState(wrong(null)), 'peer must be a Peer; it is null'],
]

test.each(rejections)('%s rejects, and names the argument', async (_what, call, message) => {
  // `.catch` of the caller would miss an error that is thrown instead.
  const promise = call()
  expect(promise).toBeInstanceOf(Promise)
  await expect(promise).rejects.toThrow(message)
})

test.each(throws)('%s throws, and names the argument', (_what, call, message) => {
  expect(call).toThrow(message)
})

test.each([
  ['send', () => peer.send(wrong(5), 1), 'bad-name'],
  ['lookup', () => peer.lookup(wrong([1])), 'bad-name'],
  ['watch', () => peer.watch(wrong(5)), 'bad-name'],
  ['join', () => peer.join(wrong(5)), 'bad-name'],
  ['p2p.connect', () => p2p.connect(wrong(5)), 'bad-name'],
  ['connect: name', () => at({ name: '' }), 'bad-name'],
  ['connect: app', () => at({ app: 'My App' }), 'bad-field'],
  ['connect: secret', () => at({ secret: 'short' }), 'bad-field'],
] as const)(
  '%s: an invalid name, app or secret has the code that a node would answer',
  async (_what, call, code) => {
    await expect(call()).rejects.toMatchObject({ name: 'PeerageError', code })
  },
)

test('a signal of any class and options that are undefined are accepted', async () => {
  const signal = { aborted: false, addEventListener: nothing, removeEventListener: nothing }
  const joining = connect('http://tier', {
    ...options({}),
    name: undefined,
    signal: wrong(signal),
    timeoutMs: Infinity,
  })
  await clock.advance(5)
  const other = await joining
  const sent = other.send('ann', null, { deadlineMs: undefined })
  peer.once('message', nothing)
  await clock.advance(100)
  await sent
  other.close()
})

test.each([
  ['index', index],
  ['node', node],
  ['manual', manual],
  ['react', react],
  ['node-only', nodeOnly],
])('each class that %s exports says how to get an instance, unless it is an error', (_entry, exported) => {
  const classes = Object.values<unknown>(exported).filter(isClass)
  for (const Exported of classes.filter(({ prototype }) => !(prototype instanceof Error)))
    for (const given of [[], ['alice'], ['alice', { host: 'localhost' }], [null, null, null]])
      expect(() => new Exported(...given)).toThrow(
        new TypeError('a Peer is made by `await connect(url, { name })`'),
      )
})

test('a connected peer is an instance of Peer', () => {
  expect(peer).toBeInstanceOf(Peer)
})

type Class = (new (...given: unknown[]) => unknown) & { prototype: unknown }

function isClass(value: unknown): value is Class {
  return typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value))
}

function circle(): unknown {
  const made: Record<string, unknown> = {}
  made['itself'] = made
  return made
}

function hooks(): ReturnType<typeof createHooks> {
  return createHooks({ useSyncExternalStore: (_subscribe, snapshot) => snapshot() })
}
