import { runInNewContext } from 'node:vm'
import type { ErrorCode } from '@peerage/protocol'
import { beforeEach, expect, test, vi } from 'vitest'
import { connect } from './entries/node.js'
import type { ConnectOptions } from './connect.js'
import type { PeerageError } from './lib/error.js'
import type { FailedAttempt } from './tier/connector.js'
import type { Peer } from './peer.js'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { FakeStorage } from './testing/fake-page.js'
import { FakeTier } from './testing/fake-tier.js'
import { seededRandom } from './testing/random.js'
import type { OpenTransport } from './tier/transport.js'

let clock: FakeClock
let tier: FakeTier

beforeEach(() => {
  clock = new FakeClock()
  tier = new FakeTier(clock)
})

async function join(options: ConnectOptions = {}): Promise<Peer> {
  const joining = start(options)
  await clock.advance(5)
  return joining
}

function start(options: ConnectOptions = {}): Promise<Peer> {
  return connect('http://tier', { clock, transport: tier.open, p2p: false, ...options })
}

/** Records how a promise settles, without waiting for it. */
function outcome<T>(promise: Promise<T>): { value?: T; error?: unknown } {
  const seen: { value?: T; error?: unknown } = {}
  promise.then(
    (value) => (seen.value = value),
    (error: unknown) => (seen.error = error),
  )
  return seen
}

const states = (peer: Peer): string[] => {
  const seen: string[] = []
  peer.on('state', ({ state }) => seen.push(state))
  return seen
}

test('[WL3] after a cut the peer reconnects by itself as the same holder of its name', async () => {
  const peer = await join({ name: 'ann' })
  const { since } = peer
  const seen = states(peer)
  tier.cut('ann')
  expect(peer.state.state).toBe('reconnecting')
  // The application cannot change it.
  expect(() => Object.assign(peer.state, { state: 'closed' })).toThrow(TypeError)
  await clock.advance(1_010)
  expect(() => Object.assign(peer.state, { state: 'closed' })).toThrow(TypeError)
  expect(seen).toEqual(['reconnecting', 'online'])
  expect([peer.name, peer.since]).toEqual(['ann', since])
})

test('[WL3] a name that the node made is kept over reconnects', async () => {
  const peer = await join()
  const { name } = peer
  tier.cut(name)
  await clock.advance(1_010)
  expect(peer.state.state).toBe('online')
  expect(peer.name).toBe(name)
})

test('[WL2] a draining node says when to reconnect', async () => {
  const peer = await join({ name: 'ann' })
  tier.cut('ann', 'drain', 3_000)
  expect(peer.state).toMatchObject({ state: 'reconnecting', delayMs: 3_000, cause: { code: 'drain' } })
  await clock.advance(2_999)
  expect(peer.state.state).toBe('reconnecting')
  await clock.advance(3)
  expect(peer.state.state).toBe('online')
})

test('[WL4] a final close code closes the peer for good, with the reason', async () => {
  const peer = await join({ name: 'ann' })
  tier.cut('ann', 'superseded')
  expect(peer.state).toMatchObject({ state: 'closed', reason: 'superseded' })
  await expect(peer.send('ann', 1)).rejects.toMatchObject({ code: 'closed' })
  await expect(peer.lookup(['ann'])).rejects.toMatchObject({ code: 'closed' })
  expect(clock.pending).toBe(0)
})

test('[WL4] if a node closes the peer for good and there is no `state` listener, the reason goes to the console, once', async () => {
  const told = vi.spyOn(console, 'error').mockImplementation(() => {})
  try {
    const ann = await join({ name: 'ann' })
    tier.cut('ann', 'superseded')
    expect(ann.state.state).toBe('closed')
    expect(told.mock.calls).toEqual([
      [
        'Peerage: the peer ann is closed for good (superseded): the holder connected again elsewhere. Connections with the same `secret` are the same peer: give each peer its own secret.',
      ],
    ])
    await join({ name: 'bob' })
    tier.cut('bob', 'token-expired')
    expect(told).toHaveBeenCalledTimes(2)
    // Nothing goes to the console if there is a listener, if the application ended the peer, or if `connect` rejects.
    const heard = await join({ name: 'cas' })
    expect(states(heard)).toEqual([])
    tier.cut('cas', 'superseded')
    const closed = await join({ name: 'dan' })
    closed.close()
    const left = await join({ name: 'eve' })
    const leaving = left.leave()
    await clock.advance(5)
    await leaving
    tier.refusals = [{ code: 'forbidden' }]
    const refused = outcome(start({ name: 'fay' }))
    await clock.advance(5)
    expect(refused.error).toMatchObject({ code: 'forbidden' })
    expect(told).toHaveBeenCalledTimes(2)
  } finally {
    told.mockRestore()
  }
})

test('[WL4] an expired token closes a peer with a fixed token, but not one that can make another', async () => {
  for (const options of [{ name: 'ann' }, { name: 'fay', token: 'the only one' }]) {
    const fixed = await join(options)
    tier.cut(options.name, 'token-expired')
    expect(fixed.state).toMatchObject({ state: 'closed', reason: 'token-expired' })
  }
  let made = 0
  const renewing = await join({ name: 'bob', token: () => `token${++made}` })
  tier.cut('bob', 'token-expired')
  await clock.advance(1_010)
  expect(renewing.state.state).toBe('online')
  expect(made).toBe(2)
})

test.each<ErrorCode>(['forbidden', 'name-taken', 'bad-version'])(
  '[WL4] a hello that is refused for good (%s) makes connect reject',
  async (code) => {
    tier.refusals = [{ code }]
    const refused = outcome(start({ name: 'ann' }))
    await clock.advance(5)
    expect(refused.error).toMatchObject({ name: 'PeerageError', code })
    expect(clock.pending).toBe(0)
  },
)

test('[WL2] a hello that is refused temporarily is tried again, not before the time that the node named', async () => {
  tier.refusals = [{ code: 'overloaded', retryAfterMs: 4_000 }, { code: 'registry-unavailable' }]
  const joining = outcome(start({ name: 'ann' }))
  await clock.advance(3_990)
  expect(tier.refusals).toHaveLength(1)
  await clock.advance(20)
  expect(tier.refusals).toHaveLength(0)
  await clock.advance(2_010)
  expect(joining.value?.state.state).toBe('online')
})

test('[WL5] without a welcome within 10 s another attempt is made', async () => {
  let attempts = 0
  const joining = outcome(
    start({
      name: 'ann',
      transport: (hello, events) => {
        attempts++
        return attempts === 1 ? { send: () => false, close: () => {} } : tier.open(hello, events)
      },
    }),
  )
  await clock.advance(9_999)
  expect(attempts).toBe(1)
  await clock.advance(1_050)
  expect(attempts).toBe(2)
  expect(joining.value?.name).toBe('ann')
})

// Regression: this was an unhandled rejection, which ended a Node process.
test('[WL6] if the transport throws, the attempt has failed, and another one follows', async () => {
  let attempts = 0
  const joining = outcome(
    start({
      name: 'ann',
      transport: (hello, events) => {
        attempts++
        if (attempts === 1) throw new Error('no socket can be made')
        return tier.open(hello, events)
      },
    }),
  )
  await clock.advance(1_050)
  expect(attempts).toBe(2)
  expect(joining.value?.name).toBe('ann')
})

test('[WL1] the waits grow while connections break soon; after a stable connection they start from the beginning', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  const peer = await join({ name: 'ann' })
  vi.restoreAllMocks()
  const delays: number[] = []
  peer.on('state', (state) => state.state === 'reconnecting' && delays.push(state.delayMs))
  for (let i = 0; i < 4; i++) {
    tier.cut('ann')
    await clock.advance((delays.at(-1) ?? 0) + 900)
  }
  await clock.advance(200)
  tier.cut('ann')
  expect(delays).toEqual([500, 1_000, 2_000, 4_000, 500])
})

test('[WL6] if `token` rejects, the attempt has failed, and there is an `error` event', async () => {
  let asked = 0
  const token = async (): Promise<string> => {
    if (++asked === 2) throw new Error('the token server is down')
    return 'token'
  }
  const peer = await join({ name: 'ann', token })
  const errors: unknown[] = []
  peer.on('error', (error, stage) => errors.push([String(error), stage]))
  tier.cut('ann')
  await clock.advance(3_010)
  expect(errors).toEqual([['Error: the function `token` failed: the token server is down', 'hello']])
  expect(peer.state.state).toBe('online')
})

test('connect gives up at its timeout and when its signal aborts, and leaves nothing behind', async () => {
  tier.refusals = Array.from({ length: 100 }, () => ({ code: 'overloaded' as const }))
  const late = outcome(start({ timeoutMs: 5_000 }))
  const abort = new AbortController()
  const aborted = outcome(start({ signal: abort.signal }))
  const before = outcome(start({ signal: AbortSignal.abort('no') }))
  await clock.advance(100)
  abort.abort('changed my mind')
  await settled()
  expect([aborted.error, before.error]).toEqual(['changed my mind', 'no'])
  await clock.advance(5_000)
  expect(late.error).toMatchObject({ code: 'timeout' })
  expect(clock.pending).toBe(0)
})

test('[WL6] the timeout of connect says how the last attempt ended', async () => {
  const token = (): Promise<string> => Promise.reject(new Error('the token server is down'))
  const late = outcome(start({ token, timeoutMs: 5_000 }))
  await clock.advance(5_000)
  expect(late.error).toMatchObject({
    code: 'timeout',
    message:
      'not connected to http://tier within 5 s. The last attempt: the function `token` failed: the token server is down',
    cause: { cause: new Error('the token server is down') },
  })
})

test('[WL6] also if a node refused the attempt temporarily, or never answered', async () => {
  tier.refusals = Array.from({ length: 100 }, () => ({ code: 'overloaded' as const }))
  const refused = outcome(start({ timeoutMs: 5_000 }))
  await clock.advance(5_000)
  expect(refused.error).toMatchObject({ code: 'timeout', cause: { code: 'overloaded' } })
  const silent = outcome(
    start({ transport: () => ({ send: () => false, close: () => {} }), timeoutMs: 15_000 }),
  )
  await clock.advance(15_000)
  expect(silent.error).toMatchObject({
    message: 'not connected to http://tier within 15 s. The last attempt: no welcome came within 10 s',
  })
})

test('invalid arguments are refused before a connection is opened', async () => {
  await expect(start({ name: '' })).rejects.toMatchObject({
    code: 'bad-name',
    message: 'name must not be empty; it is ""',
  })
  await expect(start({ app: 'A' })).rejects.toMatchObject({ code: 'bad-field' })
  await expect(start({ secret: 'short' })).rejects.toMatchObject({ code: 'bad-field' })
  await expect(connect('not a url')).rejects.toThrow(TypeError)
  expect(clock.pending).toBe(0)
})

test('[WD1] messages arrive with their sender, and a message that is sent while offline arrives later', async () => {
  const ann = await join({ name: 'ann' })
  const bob = await join({ name: 'bob' })
  const received: unknown[] = []
  bob.on('message', (from, data, { since }) => received.push([from, data, since === ann.since]))
  const first = outcome(ann.send('bob', { hello: 1 }))
  await clock.advance(100)
  tier.cut('ann')
  const second = outcome(ann.send('bob', 'later'))
  await clock.advance(1_100)
  expect(received).toEqual([
    ['ann', { hello: 1 }, true],
    ['ann', 'later', true],
  ])
  expect([first, second]).toEqual([{ value: undefined }, { value: undefined }])
  expect(Object.keys(second)).toEqual(['value'])
})

test('[WD4] a send fails with a code, or with the reason of its signal', async () => {
  const ann = await join({ name: 'ann' })
  const abort = new AbortController()
  const aborted = outcome(ann.send('ann', 1, { signal: abort.signal }))
  abort.abort(new Error('enough'))
  const nobody = outcome(ann.send('nobody', 1))
  const late = outcome(ann.send('ann', 1, { deadlineMs: 500 }))
  await clock.advance(600)
  expect(aborted.error).toMatchObject({ message: 'enough' })
  expect(nobody.error).toMatchObject({ code: 'unavailable' })
  // This peer has no `message` listener.
  expect(late.error).toMatchObject({ code: 'timeout' })
  await expect(ann.send('', 1)).rejects.toMatchObject({ code: 'bad-name' })
  await expect(ann.send('ann', 'x'.repeat(300_000))).rejects.toMatchObject({ code: 'too-large' })
  await expect(ann.send('ann', undefined)).rejects.toThrow(TypeError)
})

test('[WD8] messages wait for the first listener', async () => {
  const ann = await join({ name: 'ann' })
  const sent = outcome(ann.send('ann', 'early'))
  await clock.advance(1_000)
  expect(sent).toEqual({})
  const received: unknown[] = []
  ann.once('message', (_, data) => received.push(data))
  await clock.advance(100)
  expect(received).toEqual(['early'])
  expect(Object.keys(sent)).toEqual(['value'])
  const off = ann.on('message', (_, data) => received.push(data))
  const next = outcome(ann.send('ann', 'next'))
  await clock.advance(100)
  off()
  expect(received).toEqual(['early', 'next'])
  expect(Object.keys(next)).toEqual(['value'])
})

test('[WD16] a listener that throws is reported, other listeners run, and the message counts as handed over', async () => {
  const ann = await join({ name: 'ann' })
  const received: unknown[] = []
  const errors: unknown[] = []
  ann.on('message', () => {
    throw new Error('a bug of the application')
  })
  ann.on('message', (_, data) => received.push(data))
  ann.on('error', (error, stage) => errors.push([String(error), stage]))
  const sent = outcome(ann.send('ann', 1))
  await clock.advance(100)
  expect(received).toEqual([1])
  expect(errors).toEqual([['Error: a bug of the application', 'listener']])
  expect(Object.keys(sent)).toEqual(['value'])
})

test('[WD16] a listener that rejects is reported like one that throws, whichever way it was added', async () => {
  const ann = await join({ name: 'ann' })
  const errors: unknown[] = []
  ann.on('message', () => Promise.reject(new Error('on')))
  ann.once('message', () => Promise.reject(new Error('once')))
  ann.on('error', (error, stage) => errors.push([String(error), stage]))
  const sent = outcome(ann.send('ann', 1))
  await clock.advance(100)
  expect(errors).toEqual([
    ['Error: on', 'listener'],
    ['Error: once', 'listener'],
  ])
  expect(Object.keys(sent)).toEqual(['value'])
})

test('[WD16] a listener that returns any thenable is reported when that rejects', async () => {
  const ann = await join({ name: 'ann' })
  const errors = new Set<string>()
  // These thenables are not instances of this realm's `Promise`, like the promises of a frame or of a library.
  ann.on('message', () => runInNewContext('({ then: (_, reject) => reject(Error("an object")) })'))
  ann.on('message', () =>
    runInNewContext('Object.assign(() => {}, { then: (_, reject) => reject(Error("a function")) })'),
  )
  ann.on('message', () => runInNewContext('Promise.reject(Error("another realm"))'))
  ann.on('error', (error, stage) => errors.add(`${String(error)} (${stage})`))
  outcome(ann.send('ann', 1))
  await clock.advance(100)
  expect(errors).toEqual(
    new Set([
      'Error: an object (listener)',
      'Error: a function (listener)',
      'Error: another realm (listener)',
    ]),
  )
})

test('[WD16] without an `error` listener, or if the `error` listener itself fails, an error goes to the console and does not end the process', async () => {
  const ann = await join({ name: 'ann' })
  const console_ = vi.spyOn(console, 'error').mockImplementation(() => {})
  try {
    ann.on('message', () => Promise.reject(new Error('rejected')))
    ann.on('message', () => {
      throw new Error('thrown')
    })
    void ann.send('ann', 1)
    await clock.advance(100)
    expect(console_.mock.calls.map(([error]) => String(error)).sort()).toEqual([
      'Error: rejected',
      'Error: thrown',
    ])
    console_.mockClear()
    ann.on('error', () => Promise.reject(new Error('of the error listener')))
    void ann.send('ann', 2)
    await clock.advance(100)
    expect(console_.mock.calls.map(([error]) => String(error))).toEqual([
      'Error: of the error listener',
      'Error: of the error listener',
    ])
  } finally {
    console_.mockRestore()
  }
})

test('[WD18] a deadline of a node beyond the longest is the longest; one of the application is refused', async () => {
  tier.deadlineMs = 2 ** 31
  const ann = await join({ name: 'ann' })
  tier.faults.loss = 1
  const ends = [300_000, undefined].map((deadlineMs) => outcome(ann.send('bob', 1, { deadlineMs })))
  await clock.advance(299_000)
  for (const end of ends) expect(end).toEqual({})
  await clock.advance(2_000)
  for (const end of ends) expect(end.error).toMatchObject({ code: 'timeout' })
  for (const wrong of [NaN, -1, 300_001, Infinity])
    await expect(ann.send('bob', 1, { deadlineMs: wrong })).rejects.toThrow(TypeError)
  for (const wrong of [NaN, -1])
    await expect(connect('http://tier.example', { timeoutMs: wrong })).rejects.toThrow(TypeError)
})

test('a complaint of a node and an undecodable body are `error` events and do not end the peer', async () => {
  const ann = await join({ name: 'ann' })
  const errors: unknown[] = []
  ann.on('error', (error, stage) => errors.push([error instanceof Error && error.name, stage]))
  ann.on('message', () => {})
  tier.hand('ann', { type: 'error', code: 'rate-limited', detail: 'slower' })
  const message = { type: 'message', stream: 'streamofbob', seq: 1, base: 1, kind: 'message' } as const
  const self = tier.holders.values().next().value
  if (self === undefined) throw new Error('ann is there')
  tier.hand('ann', { ...message, from: self.name, since: self.since, body: '{broken' })
  expect(errors).toEqual([
    ['PeerageError', 'node'],
    ['PeerageError', 'body'],
  ])
  expect(ann.state.state).toBe('online')
})

test('lookups come in the order of the names, in frames of at most 64, and survive a reconnect', async () => {
  const ann = await join({ name: 'ann' })
  await join({ name: 'bob' })
  const names = [...Array.from({ length: 70 }, (_, i) => `nobody${i}`), 'bob']
  tier.cut('ann')
  const looking = outcome(ann.lookup(names))
  await clock.advance(1_100)
  expect(looking.value?.map(({ name }) => name)).toEqual(names)
  expect(looking.value?.at(-1)).toMatchObject({ name: 'bob', state: 'online' })
  expect(tier.sent.filter(({ type }) => type === 'lookup')).toHaveLength(2)
})

test('a lookup without an answer is a timeout, and can be aborted', async () => {
  const ann = await join({ name: 'ann' })
  tier.faults.loss = 1
  const abort = new AbortController()
  const aborted = outcome(ann.lookup(['bob'], { signal: abort.signal }))
  const late = outcome(ann.lookup(['bob']))
  abort.abort('no')
  await clock.advance(5_000)
  expect(aborted.error).toBe('no')
  expect(late.error).toMatchObject({ code: 'timeout' })
})

test('each change of a watched peer is reported once, also after a reconnect', async () => {
  const ann = await join({ name: 'ann' })
  const bob = await join({ name: 'bob' })
  const heard: string[] = []
  ann.on('presence', ({ state }) => heard.push(state))
  const now = outcome(ann.watch('bob'))
  await clock.advance(10)
  expect(now.value).toMatchObject({ name: 'bob', state: 'online', since: bob.since })
  tier.cut('bob')
  await clock.advance(1_100)
  expect(heard).toEqual(['away', 'online'])
  tier.cut('ann')
  bob.close()
  await clock.advance(1_100)
  expect(heard).toEqual(['away', 'online', 'away'])
  void ann.watch('bob')
  ann.unwatch('bob')
  tier.release('bob')
  await clock.advance(10)
  expect(heard).toEqual(['away', 'online', 'away', 'offline'])
  ann.unwatch('bob')
  await join({ name: 'bob' })
  expect(heard).toHaveLength(4)
})

test('leave frees the name at once; while offline it tells the next node, or gives up after 2 s', async () => {
  const ann = await join({ name: 'ann' })
  const left = outcome(ann.leave())
  await settled()
  expect(Object.keys(left)).toEqual(['value'])
  expect(ann.state).toMatchObject({ state: 'closed', reason: 'left' })
  expect(tier.holders.size).toBe(0)
  const bob = await join({ name: 'bob' })
  tier.cut('bob')
  const back = outcome(bob.leave())
  await clock.advance(5)
  expect(Object.keys(back)).toEqual(['value'])
  expect(bob.state).toMatchObject({ reason: 'left' })
  expect(tier.holders.size).toBe(0)
  const carol = await join({ name: 'carol' })
  tier.refusals = Array.from({ length: 9 }, () => ({ code: 'registry-unavailable' as const }))
  tier.cut('carol')
  const without = outcome(carol.leave())
  await clock.advance(1_990)
  expect(Object.keys(without)).toEqual([])
  await clock.advance(10)
  expect(Object.keys(without)).toEqual(['value'])
  expect(carol.state).toMatchObject({ reason: 'left' })
  await carol.leave()
  expect(clock.pending).toBe(0)
})

test('[I8] a reloaded page is the same holder of its name; after a leave it is a new peer', async () => {
  const storage = new FakeStorage()
  const first = await join({ storage })
  const { name, since } = first
  first.close()
  const second = await join({ storage })
  expect([second.name, second.since]).toEqual([name, since])
  void second.leave()
  await clock.advance(10)
  const third = await join({ storage })
  expect(third.name).not.toBe(name)
})

test('[WD10] a peer that is back online before its watch is answered is noticed', async () => {
  const ann = await join({
    name: 'ann',
    // Each answer arrives late: by then the peer in question is back.
    transport: (hello, events) =>
      tier.open(hello, {
        ...events,
        message: (message) =>
          message.type === 'found'
            ? events.message({ ...message, peers: message.peers.map((one) => ({ ...one, state: 'online' })) })
            : events.message(message),
      }),
  })
  const bob = await join({ name: 'bob' })
  const received: unknown[] = []
  bob.on('message', (_, data) => received.push(data))
  void ann.send('bob', 0)
  await clock.advance(50)
  bob.close()
  for (const data of [1, 2, 3]) outcome(ann.send('bob', data))
  tier.sent.length = 0
  await clock.advance(900)
  // The answer of the watch released all messages, not only the first one, and only once.
  const seqs = tier.sent.flatMap((frame) => (frame.type === 'send' ? [frame.seq] : []))
  expect(seqs).toEqual([2, 3, 4])
})

/** A transport that makes the bodies unreadable that `garbles` picks, for the peer that connects through it. */
function garbling(garbles: (body: string) => boolean): OpenTransport {
  return (hello, events) =>
    tier.open(hello, {
      ...events,
      message: (message) =>
        events.message(
          message.type === 'message' && garbles(message.body) ? { ...message, body: '{broken' } : message,
        ),
    })
}

test('[WD1] [WD19] a message that the SDK of the recipient cannot read is incompatible, also with losses; later messages are not affected', async () => {
  const ann = await join({ name: 'ann' })
  const bob = await join({ name: 'bob', transport: garbling((body) => Number(body) % 7 === 0) })
  const received: unknown[] = []
  const errors: unknown[] = []
  bob.on('message', (_from, data) => received.push(data))
  bob.on('error', (error, stage) => errors.push([error instanceof Error && error.message, stage]))
  Object.assign(tier.faults, { loss: 0.3, twice: 0.3, delayMs: 200, random: seededRandom(7) })
  const numbers = Array.from({ length: 150 }, (_, i) => i)
  const sends = numbers.map((i) => outcome(ann.send('bob', i, { deadlineMs: 300_000 })))
  await clock.advance(200_000)
  expect(received).toEqual(numbers.filter((i) => i % 7 !== 0))
  expect(errors).toHaveLength(22)
  expect(errors[0]).toEqual([expect.stringContaining('what ann sent cannot be read: '), 'body'])
  const failed = sends.map(({ error }) => error && (error as PeerageError).code)
  expect(failed).toEqual(numbers.map((i) => (i % 7 === 0 ? 'incompatible' : undefined)))
})

test.each(['close', 'leave'] as const)(
  '[WD5] a peer that ends by %s first acknowledges its handed-over messages',
  async (how) => {
    const ann = await join({ name: 'ann' })
    const bob = await join({ name: 'bob' })
    bob.on('message', () => {})
    await clock.advance(20)
    // The first acknowledgement is sent at once. The second one would wait for the next batch.
    const sends = [outcome(ann.send('bob', 1)), outcome(ann.send('bob', 2))]
    await clock.advance(5)
    expect(sends.map((sent) => Object.keys(sent))).toEqual([['value'], []])
    void bob[how]()
    await clock.advance(5)
    expect(sends.map((sent) => Object.keys(sent))).toEqual([['value'], ['value']])
  },
)

test.each([
  // Without a storage there is no record of the messages that the former process handed over.
  { where: 'nowhere', storage: null, again: [2, 3] },
  { where: 'in a storage', storage: new FakeStorage(), again: [3] },
])('[WD7] the unacknowledged messages of a process that ended, with its inbox kept $where', async (given) => {
  const { storage, again } = given
  const secret = 'secretsecretsecretsecret'
  const received: unknown[] = []
  const run = async (transport: OpenTransport): Promise<Peer> => {
    const peer = await join({ name: 'bob', secret, storage, transport })
    peer.on('message', (_from, data) => received.push(data))
    return peer
  }
  let dead = false
  const first = await run((hello, events) => {
    const transport = tier.open(hello, events)
    // The last acknowledgements of this process are lost.
    return { ...transport, send: (message) => (dead && message.type === 'ack') || transport.send(message) }
  })
  const ann = await join({ name: 'ann' })
  await Promise.all([ann.send('bob', 1), clock.advance(100)])
  dead = true
  const sent = outcome(ann.send('bob', 2))
  await clock.advance(100)
  first.close()
  received.length = 0
  await clock.advance(100)
  const second = await run(tier.open)
  expect(second.since).toBe(first.since)
  await Promise.all([ann.send('bob', 3), clock.advance(20_000)])
  expect(received).toEqual(again)
  expect(Object.keys(sent)).toEqual(['value'])
})

test('[WL6] onRetry is told why an attempt has failed, while connect tries again', async () => {
  tier.refusals = [{ code: 'overloaded' }, { code: 'registry-unavailable', retryAfterMs: 3_000 }]
  const failed: FailedAttempt[] = []
  const joining = outcome(start({ name: 'ann', onRetry: (one) => failed.push(one) }))
  await clock.advance(10)
  expect(failed).toMatchObject([{ attempt: 1, error: { code: 'overloaded' } }])
  expect(joining).toEqual({})
  await clock.advance(8_000)
  expect(failed).toHaveLength(2)
  expect(failed[1]?.delayMs).toBeGreaterThanOrEqual(3_000)
  expect(failed[1]).toMatchObject({
    attempt: 2,
    error: { code: 'registry-unavailable', retryAfterMs: 3_000 },
  })
  expect(joining.value?.name).toBe('ann')
  // After `connect` has resolved, the state reports failed attempts instead.
  tier.cut('ann')
  expect(failed).toHaveLength(2)
  expect(joining.value?.state).toMatchObject({ state: 'reconnecting', cause: { code: 'unreachable' } })
})

test('[WL6] without onRetry each new reason goes to the console once; an onRetry that throws does not end connect', async () => {
  const [warn, error] = [vi.spyOn(console, 'warn'), vi.spyOn(console, 'error')].map((one) =>
    one.mockImplementation(() => {}),
  )
  try {
    tier.refusals = Array.from({ length: 3 }, () => ({ code: 'overloaded' as const }))
    const joining = outcome(start({ name: 'ann' }))
    await clock.advance(10_000)
    expect(joining.value?.name).toBe('ann')
    expect(warn?.mock.calls).toEqual([['Peerage tries to connect again: refused']])
    tier.refusals = [{ code: 'overloaded' }, { code: 'overloaded' }]
    let count = 0
    const onRetry = (): unknown => {
      if (count++ === 0) throw new Error('thrown')
      return Promise.reject(new Error('rejected'))
    }
    const other = outcome(start({ name: 'bob', onRetry }))
    await clock.advance(10_000)
    expect(other.value?.name).toBe('bob')
    expect(error?.mock.calls.map(([one]) => String(one))).toEqual(['Error: thrown', 'Error: rejected'])
  } finally {
    vi.restoreAllMocks()
  }
})

test('[WL5] if `token` never returns, the attempt has failed, and a late token has no effect', async () => {
  const late: ((token: string) => void)[] = []
  const failed: FailedAttempt[] = []
  const token = (): Promise<string> | string =>
    late.length < 2 ? new Promise((resolve) => late.push(resolve)) : 'token'
  const joining = outcome(start({ name: 'ann', token, onRetry: (one) => failed.push(one) }))
  await clock.advance(10_000)
  expect(failed).toMatchObject([{ error: { message: 'the function `token` returned nothing within 10 s' } }])
  late[0]?.('late')
  await clock.advance(13_000)
  expect(failed).toHaveLength(2)
  late[1]?.('late')
  await clock.advance(6_000)
  expect(joining.value?.state.state).toBe('online')
  // There is one connection, although several tokens came.
  expect(tier.holders.size).toBe(1)
  expect(clock.pending).toBe(0)
})

test('[WL4] the error of a final refusal says what to do', async () => {
  for (const [code, hint] of [
    ['name-taken', '`secret`'],
    ['forbidden', '`token`'],
    ['bad-version', 'update'],
  ] as const) {
    tier.refusals = [{ code, retryAfterMs: 9 }]
    const refused = outcome(start({ name: 'ann' }))
    await clock.advance(5)
    expect(refused.error).toMatchObject({ code, retryAfterMs: 9, message: expect.stringContaining(hint) })
  }
  const peer = await join({ name: 'ann' })
  tier.cut('ann', 'superseded')
  expect(peer.state).toMatchObject({
    detail:
      'the holder connected again elsewhere. Connections with the same `secret` are the same peer: give each peer its own secret.',
  })
})

test('[WD4] the error of every failed send is a sentence with the name of the recipient', async () => {
  const ann = await join({ name: 'ann' })
  const message = async (send: Promise<void>): Promise<string> => {
    const failed = outcome(send)
    await clock.advance(1_000)
    return failed.error instanceof Error ? failed.error.message : ''
  }
  const said = [
    await message(ann.send('bob', 1)),
    await message(ann.send('bob', 1, { via: 'p2p-only' })),
    await message(ann.send('bob', 'x'.repeat(300_000))),
    await message(ann.send('ann', 1, { deadlineMs: 500 })),
  ]
  ann.close()
  said.push(await message(ann.send('bob', 1)))
  expect(said).toEqual([
    expect.stringMatching(/^not delivered to bob: no peer holds this name.*`watch` the name/),
    expect.stringMatching(
      /^not delivered to bob: there is no open channel to it; open one with `peer.p2p.connect`/,
    ),
    expect.stringMatching(/^not delivered to bob: the message is over the size limit/),
    expect.stringMatching(
      /^not delivered to ann: no acknowledgement came in time: the peer is away, or its application does not listen for `message`. The message may/,
    ),
    expect.stringMatching(/^not delivered to bob: this peer is closed, and `peer.state` says why/),
  ])
})

test('[WL6] a token that is not a string, and a transport without its methods, are named in the error', async () => {
  const said = async (options: ConnectOptions): Promise<unknown> => {
    const late = outcome(start({ timeoutMs: 500, onRetry: () => {}, ...options }))
    await clock.advance(500)
    return late.error instanceof Error && late.error.cause
  }
  expect(await said({ token: () => undefined as never })).toMatchObject({
    message: 'what `token` returns must be a string; it is undefined',
  })
  expect(await said({ transport: () => undefined as never })).toMatchObject({
    message: 'what `transport` returns must be a Transport; it is undefined',
  })
})
