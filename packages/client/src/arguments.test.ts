import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Channel } from './channel.js'
import { connect } from './entries/node.js'
import type { ConnectOptions } from './connect.js'
import { answerManually, offerManually } from './entries/manual-node.js'
import type { ManualOffer } from './manual.js'
import type { P2P } from './p2p.js'
import type { Peer } from './peer.js'
import { createHooks } from './react.js'
import { Mesh } from './rooms.js'
import type { Room } from './rooms.js'
import { Controllers } from './testing/controllers.js'
import { FakeClock } from './testing/fake-clock.js'
import { FakeTier } from './testing/fake-tier.js'
import { Rendezvous } from './testing/rendezvous.js'

// What a program without types, or a slip of the keys, passes in: the call rejects (or throws, where it returns no promise)
// at once, and names the argument. Nothing is thrown elsewhere: vitest fails for what nobody hears.

const clock = new FakeClock()
const tier = new FakeTier(clock)
const controllers = new Controllers()
let peer: Peer
let room: Room
let mesh: Mesh
let p2p: P2P
let channel: Channel
let offer: ManualOffer

/** What no type lets through. */
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

type Rows = [what: string, call: () => unknown, message: string | RegExp][]

const rejections: Rows = [
  ...[undefined, null, 5, {}, ['http://tier']].map((url): Rows[number] => [
    `connect(${JSON.stringify(url)})`,
    () => connect(wrong(url)),
    /^url must be a string; it is /,
  ]),
  ...['localhost:9000', 'tier.example', 'http://', 'http://[', 'ftp://tier', '', 'http://tier:99999'].map(
    (url): Rows[number] => [
      `connect('${url}')`,
      () => connect(url),
      'url must begin with http:// or https://',
    ],
  ),
  ...[null, 5, 'name', true].map((given): Rows[number] => [
    `connect(url, ${String(given)})`,
    () => connect('http://tier', wrong(given)),
    'options must be an object; it is ',
  ]),
  ['connect: nmae', () => at({ nmae: 'x' }), 'there is no option "nmae": did you mean "name"?'],
  ['connect: timeout', () => at({ timeout: 5 }), 'there is no option "timeout": did you mean "timeoutMs"?'],
  ['connect: Token', () => at({ Token: 'x' }), 'did you mean "token"?'],
  [
    'connect: iceServers',
    () => at({ iceServers: [] }),
    /^there is no option "iceServers" There are: name, app/,
  ],
  ['connect: token 5', () => at({ token: 5 }), 'token must be a string or a function; it is 5'],
  ['connect: token null', () => at({ token: null }), 'token must be a string or a function; it is null'],
  ['connect: name 5', () => at({ name: 5 }), 'name must be a string; it is 5'],
  ['connect: name empty', () => at({ name: '' }), 'name must not be empty'],
  ['connect: app', () => at({ app: 'A' }), 'app must be 1 to 32'],
  ['connect: secret', () => at({ secret: 'short' }), 'secret must be 22 to 64'],
  [
    'connect: storage',
    () => at({ storage: {} }),
    'storage must be an IdentityStorage or null; it is an object',
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
  ['connect: p2p true', () => at({ p2p: true }), 'p2p must be an object or false; it is true'],
  [
    'connect: p2p.relayonly',
    () => at({ p2p: { relayonly: true } }),
    'there is no option "relayonly": did you mean "relayOnly"?',
  ],
  ['connect: p2p.accept', () => at({ p2p: { accept: true } }), 'accept must be a function; it is true'],
  ['connect: clock', () => at({ clock: {} }), 'clock must be a Clock; it is an object'],
  [
    'connect: transport',
    () => at({ transport: 'websocket' }),
    'transport must be a function; it is "websocket"',
  ],

  ['send to 5', () => peer.send(wrong(5), 1), 'to: name must be a string'],
  ['send to nobody', () => peer.send('', 1), 'to: name must not be empty'],
  [
    'send undefined',
    () => peer.send('bob', undefined),
    'data must be a JSON value, a string or bytes (an ArrayBuffer or a view); it is Undefined',
  ],
  ['send a function', () => peer.send('bob', nothing), 'it is Function'],
  ['send a promise', () => peer.send('bob', Promise.resolve(1)), 'it is Promise'],
  ['send a Blob', () => peer.send('bob', new Blob(['x'])), 'it is Blob'],
  ['send a Map', () => peer.send('bob', new Map([[1, 2]])), 'it is Map'],
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
    'deadlineMs must be a number of milliseconds from 0 up; it is NaN',
  ],
  ['send: deadline', () => peer.send('bob', 1, wrong({ deadline: 5 })), 'did you mean "deadlineMs"?'],
  ['send: null', () => peer.send('bob', 1, wrong(null)), 'options must be an object; it is null'],
  [
    'send: signal',
    () => peer.send('bob', 1, { signal: wrong({ aborted: false }) }),
    'signal must be an AbortSignal',
  ],
  ['lookup a text', () => peer.lookup(wrong('bob')), 'names must be a list; it is "bob"'],
  ['lookup nothing', () => peer.lookup(wrong(undefined)), 'names must be a list; it is undefined'],
  ['lookup a number', () => peer.lookup(['bob', wrong(5)]), 'names[1]: name must be a string'],
  ['lookup: options', () => peer.lookup(['bob'], wrong(5)), 'options must be an object; it is 5'],
  ['watch nothing', () => peer.watch(wrong(undefined)), 'name must be a string'],
  ['watch: signal', () => peer.watch('bob', { signal: wrong(5) }), 'signal must be an AbortSignal; it is 5'],
  ['join 5', () => peer.join(wrong(5)), 'room must be a string'],
  ['join: null', () => peer.join('hall', wrong(null)), 'options must be an object; it is null'],
  ['mesh', () => peer.mesh('hall', wrong({ label: 'x' })), 'there is no option "label"'],
  ['room.send', () => room.send(undefined), 'data must be a JSON value'],
  [
    'mesh.send',
    () => mesh.send(wrong({ a: 1 })),
    'data must be a string, an ArrayBuffer or a view of one; it is an object',
  ],

  ['p2p.connect 5', () => p2p.connect(wrong(5)), 'to: name must be a string'],
  ['p2p.connect a symbol', () => p2p.connect(wrong(Symbol('x'))), 'to: name must be a string'],
  ['p2p.connect: null', () => p2p.connect('cas', wrong(null)), 'options must be an object; it is null'],
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

  ['offerManually(null)', () => offerManually(wrong(null)), 'options must be an object; it is null'],
  ['offerManually: peer', () => offerManually({ peer: '' }), 'peer: name must not be empty'],
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
  ['peer.unwatch', () => peer.unwatch(wrong(undefined)), 'name must be a string'],
  ['room.on', () => room.on(wrong('members'), nothing), 'did you mean "member"?'],
  ['room.on listener', () => room.on('member', wrong(null)), 'listener must be a function; it is null'],
  ['mesh.on', () => mesh.on(wrong('channel-open'), nothing), 'did you mean "channel-opened"?'],
  ['p2p.on', () => p2p.on(wrong('channel-close'), nothing), 'did you mean "channel-closed"?'],
  ['p2p.channel', () => p2p.channel(wrong(undefined)), 'peer must be a string; it is undefined'],
  ['p2p.busy', () => p2p.busy(wrong(channel)), 'peer must be a string; it is an object'],
  [
    'channel.on',
    () => channel.on(wrong('data'), nothing),
    'there is no event "data" There are: message, close',
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
    'name must be a string; it is undefined',
  ],
  ['usePeerState', () => hooks().usePeerState(wrong(null)), 'peer must be a Peer; it is null'],
]

test.each(rejections)('%s is a rejection that names the argument', async (_what, call, message) => {
  // A call that throws where it should reject passes every `catch` of a promise.
  const promise = call()
  expect(promise).toBeInstanceOf(Promise)
  await expect(promise).rejects.toThrow(message)
})

test.each(throws)('%s throws, and names the argument', (_what, call, message) => {
  expect(call).toThrow(message)
})

test('what is right, of whatever make, is taken', async () => {
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

function circle(): unknown {
  const made: Record<string, unknown> = {}
  made['itself'] = made
  return made
}

function hooks(): ReturnType<typeof createHooks> {
  return createHooks({ useSyncExternalStore: (_subscribe, snapshot) => snapshot() })
}
