import { runInNewContext } from 'node:vm'
import type { ErrorCode } from '@peerage/protocol'
import { beforeEach, expect, test, vi } from 'vitest'
import { connect } from './connect.js'
import type { ConnectOptions } from './connect.js'
import type { Peer } from './peer.js'
import { FakeClock, settled } from './testing/fake-clock.js'
import { FakeStorage } from './testing/fake-page.js'
import { FakeTier } from './testing/fake-tier.js'

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

/** What becomes of a promise, without waiting for it. */
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

test('[L3] after a cut the peer comes back by itself with the same name and stay', async () => {
  const peer = await join({ name: 'ann' })
  const { since } = peer
  const seen = states(peer)
  tier.cut('ann')
  expect(peer.state.state).toBe('reconnecting')
  await clock.advance(1_010)
  expect(seen).toEqual(['reconnecting', 'online'])
  expect([peer.name, peer.since]).toEqual(['ann', since])
})

test('[L3] a name that the tier made is kept over reconnects', async () => {
  const peer = await join()
  const { name } = peer
  tier.cut(name)
  await clock.advance(1_010)
  expect(peer.state.state).toBe('online')
  expect(peer.name).toBe(name)
})

test('[L2] a draining node says when to come back', async () => {
  const peer = await join({ name: 'ann' })
  tier.cut('ann', 'drain', 3_000)
  expect(peer.state).toEqual({ state: 'reconnecting', delayMs: 3_000 })
  await clock.advance(2_999)
  expect(peer.state.state).toBe('reconnecting')
  await clock.advance(3)
  expect(peer.state.state).toBe('online')
})

test('[L4] final close codes end the peer, with the reason', async () => {
  const peer = await join({ name: 'ann' })
  tier.cut('ann', 'superseded')
  expect(peer.state).toMatchObject({ state: 'closed', reason: 'superseded' })
  await expect(peer.send('ann', 1)).rejects.toMatchObject({ code: 'closed' })
  await expect(peer.lookup(['ann'])).rejects.toMatchObject({ code: 'closed' })
  expect(clock.pending).toBe(0)
})

test('[L4] an expired token ends a peer that has no other, and not one that can make another', async () => {
  const fixed = await join({ name: 'ann' })
  tier.cut('ann', 'token-expired')
  expect(fixed.state).toMatchObject({ state: 'closed', reason: 'token-expired' })
  let made = 0
  const renewing = await join({ name: 'bob', token: () => `token${++made}` })
  tier.cut('bob', 'token-expired')
  await clock.advance(1_010)
  expect(renewing.state.state).toBe('online')
  expect(made).toBe(2)
})

test.each<ErrorCode>(['forbidden', 'name-taken', 'bad-version'])(
  '[L4] a hello refused for good (%s) is an error',
  async (code) => {
    tier.refusals = [{ code }]
    const refused = outcome(start({ name: 'ann' }))
    await clock.advance(5)
    expect(refused.error).toMatchObject({ name: 'PeerageError', code })
    expect(clock.pending).toBe(0)
  },
)

test('[L2] a hello refused for now is tried again, not before the time that the node named', async () => {
  tier.refusals = [{ code: 'overloaded', retryAfterMs: 4_000 }, { code: 'registry-unavailable' }]
  const joining = outcome(start({ name: 'ann' }))
  await clock.advance(3_990)
  expect(tier.refusals).toHaveLength(1)
  await clock.advance(20)
  expect(tier.refusals).toHaveLength(0)
  await clock.advance(2_010)
  expect(joining.value?.state.state).toBe('online')
})

test('[L5] without a welcome within 10 s another attempt is made', async () => {
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

// Before, it was a rejection that nobody heard, and ended a Node process.
test('[L6] a transport that throws is a failed attempt, and another one is made', async () => {
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

test('[L1] a connection that breaks again and again is tried less and less often; a stable one starts anew', async () => {
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

test('[L6] a token that cannot be had is a failed attempt, and is told', async () => {
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
  expect(errors).toEqual([['Error: the token server is down', 'hello']])
  expect(peer.state.state).toBe('online')
})

test('connecting gives up at its time, and when its signal says so, and leaves nothing behind', async () => {
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

test('[L6] who gives up is told what the last attempt ended with', async () => {
  const token = (): Promise<string> => Promise.reject(new Error('the token server is down'))
  const late = outcome(start({ token, timeoutMs: 5_000 }))
  await clock.advance(5_000)
  expect(late.error).toMatchObject({
    code: 'timeout',
    message: 'timeout; the last attempt: the token server is down',
  })
})

test('[L6] so is who was refused for a time, and who was never answered', async () => {
  tier.refusals = Array.from({ length: 100 }, () => ({ code: 'overloaded' as const }))
  const refused = outcome(start({ timeoutMs: 5_000 }))
  await clock.advance(5_000)
  expect(refused.error).toMatchObject({ code: 'timeout', message: expect.stringContaining('overloaded: ') })
  const silent = outcome(
    start({ transport: () => ({ send: () => false, close: () => {} }), timeoutMs: 15_000 }),
  )
  await clock.advance(15_000)
  expect(silent.error).toMatchObject({ message: 'timeout; the last attempt: no welcome came in time' })
})

test('what cannot be right is refused before anything is opened', async () => {
  await expect(start({ name: '' })).rejects.toMatchObject({
    code: 'bad-field',
    message: 'name must not be empty',
  })
  await expect(start({ app: 'A' })).rejects.toMatchObject({ code: 'bad-field' })
  await expect(start({ secret: 'short' })).rejects.toMatchObject({ code: 'bad-field' })
  await expect(connect('not a url')).rejects.toThrow(TypeError)
  expect(clock.pending).toBe(0)
})

test('[D1] messages arrive with their sender, and what is sent while offline arrives after', async () => {
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

test('[D4] a send fails with a code, or with the reason of its signal', async () => {
  const ann = await join({ name: 'ann' })
  const abort = new AbortController()
  const aborted = outcome(ann.send('ann', 1, { signal: abort.signal }))
  abort.abort(new Error('enough'))
  const nobody = outcome(ann.send('nobody', 1))
  const late = outcome(ann.send('ann', 1, { deadlineMs: 500 }))
  await clock.advance(600)
  expect(aborted.error).toMatchObject({ message: 'enough' })
  expect(nobody.error).toMatchObject({ code: 'unavailable' })
  // Nobody listens on this side.
  expect(late.error).toMatchObject({ code: 'timeout' })
  await expect(ann.send('', 1)).rejects.toMatchObject({ code: 'bad-name' })
  await expect(ann.send('ann', 'x'.repeat(300_000))).rejects.toMatchObject({ code: 'too-large' })
  await expect(ann.send('ann', undefined)).rejects.toThrow(TypeError)
})

test('[D8] messages wait for the first listener', async () => {
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

test('[D16] a listener that throws is reported, stops no other, and its message counts as handed over', async () => {
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

test('[D16] a listener that rejects is reported like one that throws, whichever way it was added', async () => {
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

test('[D16] a listener that returns a thenable of any make is heard when it rejects', async () => {
  const ann = await join({ name: 'ann' })
  const errors = new Set<string>()
  // Of another realm, as the promises of a frame or of a library may be.
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

test('[D16] without an error listener, or from one, an error goes to the console and ends no process', async () => {
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

test('[D18] a deadline beyond every timer is the longest one; what is no time is refused', async () => {
  const ann = await join({ name: 'ann' })
  tier.faults.loss = 1
  const ends = [Infinity, 2 ** 31].map((deadlineMs) => outcome(ann.send('bob', 1, { deadlineMs })))
  await clock.advance(299_000)
  for (const end of ends) expect(end).toEqual({})
  await clock.advance(2_000)
  for (const end of ends) expect(end.error).toMatchObject({ code: 'timeout' })
  for (const wrong of [NaN, -1]) {
    await expect(ann.send('bob', 1, { deadlineMs: wrong })).rejects.toThrow(TypeError)
    await expect(connect('http://tier.example', { timeoutMs: wrong })).rejects.toThrow(TypeError)
  }
})

test('what a node complains about, and what no SDK encodes, are errors that end nothing', async () => {
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
    ['SyntaxError', 'body'],
  ])
  expect(ann.state.state).toBe('online')
})

test('look-ups come in the order asked, in frames of at most 64, and survive a reconnect', async () => {
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

test('a look-up that nobody answers is a timeout, and can be aborted', async () => {
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

test('a watched peer is told of as it changes, and again after a reconnect; nothing is told twice', async () => {
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

test('leave frees the name at once; offline it tells the next node, or ends without after 2 s', async () => {
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

test('[I8] a page keeps name, secret and stay over a reload; after leave it starts anew', async () => {
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

test('[D10] a peer that is back before its watch is answered is not missed', async () => {
  const ann = await join({
    name: 'ann',
    // Looked at late: by then, whoever is asked for is back.
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
  // The watch's answer woke all of them, not only the probe; and once, though node and registry disagree.
  const seqs = tier.sent.flatMap((frame) => (frame.type === 'send' ? [frame.seq] : []))
  expect(seqs).toEqual([2, 3, 4])
})
