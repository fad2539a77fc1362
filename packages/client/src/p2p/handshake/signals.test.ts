import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { REFUSALS_MAX, decodeSignal, isCandidate } from './signals.js'
import { createP2P } from '../p2p.js'
import { Controllers, failure, opened } from '../../testing/controllers.js'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { FakeConnection } from '../../testing/fake-connection.js'
import { Rendezvous } from '../../testing/rendezvous.js'

const FINGERPRINT = Array.from({ length: 32 }, () => 'AB').join(':')
const SHA_1 = `a=fingerprint:sha-1 ${FINGERPRINT.slice(0, 59)}`
const LINES = [
  'v=0',
  'o=- 1 0 IN IP4 127.0.0.1',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
  'c=IN IP4 0.0.0.0',
  'a=mid:0',
  'a=sctp-port:5000',
  'a=max-message-size:262144',
  'a=setup:actpass',
  'a=ice-ufrag:abcd',
  'a=ice-pwd:abcdefghijklmnopqrstuvwx',
  `a=fingerprint:sha-256 ${FINGERPRINT}`,
]
const CANDIDATE = 'candidate:1 1 UDP 2114977791 192.0.2.2 48507 typ host'
const sdpOf = (lines: string[]): string => lines.map((line) => `${line}\r\n`).join('')
const offerOf = (sdp: unknown, more: object = {}): string =>
  JSON.stringify({ type: 'offer', sdp, label: '', ordered: true, restart: false, ...more })

const controllers = new Controllers()
afterEach(async () => {
  await controllers.close()
  vi.unstubAllGlobals()
})

describe('decodeSignal', () => {
  it('accepts the signals of a data channel', () => {
    expect(decodeSignal(offerOf(sdpOf(LINES)))).toMatchObject({ type: 'offer', label: '', ordered: true })
    const candidates = [CANDIDATE, `a=${CANDIDATE}`, CANDIDATE.replace('192.0.2.2', 'fd00::2')]
    expect(decodeSignal(JSON.stringify({ type: 'candidates', candidates }))).toBeDefined()
    expect(isCandidate(CANDIDATE.replace('192.0.2.2', '0a1b-2c3d.local'))).toBe(true)
  })

  it('[PP36] keeps each known reason of an end, and reads every other reason as `ended`', () => {
    const read = (reason: unknown): unknown => decodeSignal(JSON.stringify({ type: 'end', reason }))
    for (const reason of ['refused', 'ended', 'closed', 'no-webrtc', 'relay-only', 'not-verified'])
      expect(read(reason)).toEqual({ type: 'end', reason })
    for (const reason of ['of-later', 'toString', '__proto__', 5, {}, ['refused'], undefined])
      expect(read(reason)).toEqual({ type: 'end', reason: 'ended' })
  })

  it.each([
    ['a lone CR', sdpOf(LINES).replace('s=-\r\n', 's=-\r')],
    ['a lone LF', sdpOf(LINES).replace('\r\n', '\n')],
    ['a control character', sdpOf([...LINES, 'a=x\u0000y'])],
    ['an unfinished last line', sdpOf(LINES).slice(0, -2)],
    ['audio beside the data channel', sdpOf([...LINES, 'm=audio 9 UDP/TLS/RTP/SAVPF 111'])],
    ['audio instead of the data channel', sdpOf(LINES).replace('m=application', 'm=audio')],
    ['no media section', sdpOf(LINES.filter((line) => !line.startsWith('m=')))],
    ['8,193 characters', sdpOf([...LINES, `a=x:${'y'.repeat(8192)}`])],
    ['21 candidates', sdpOf([...LINES, ...Array.from({ length: 21 }, () => `a=${CANDIDATE}`)])],
    ['a candidate with a DNS name', sdpOf([...LINES, `a=${CANDIDATE.replace('192.0.2.2', 'evil.example')}`])],
    ['a number as its text', 7],
    ['no fingerprint', sdpOf(LINES.slice(0, -1))],
    ['a fingerprint by SHA-1 only', sdpOf([...LINES.slice(0, -1), SHA_1])],
    ['two fingerprints by SHA-256', sdpOf([...LINES, `a=fingerprint:sha-256 ${FINGERPRINT}`])],
    ['a fingerprint of 31 bytes', sdpOf(LINES).replace(FINGERPRINT, FINGERPRINT.slice(3))],
  ])('[PP1] [PP41] refuses a description with %s', (_, sdp) => {
    expect(decodeSignal(offerOf(sdp))).toBeUndefined()
  })

  it('[PP41] removes the fingerprints by other hashes', () => {
    const sdp = sdpOf(LINES)
    for (const body of [
      offerOf(sdpOf([...LINES, SHA_1, SHA_1.replace('sha-1', 'sha-512')])),
      offerOf(sdp.replace('m=', `${SHA_1}\r\nm=`)),
    ])
      expect(decodeSignal(body)).toMatchObject({ type: 'offer', sdp })
    expect(decodeSignal(JSON.stringify({ type: 'answer', sdp: sdpOf([...LINES, SHA_1]) }))).toEqual({
      type: 'answer',
      sdp,
      restart: false,
    })
  })

  it('[PP1] [PP2] accepts 20 candidates in a description, and in a list', () => {
    const twenty = Array.from({ length: 20 }, () => CANDIDATE)
    expect(decodeSignal(offerOf(sdpOf([...LINES, ...twenty.map((line) => `a=${line}`)])))).toBeDefined()
    expect(decodeSignal(JSON.stringify({ type: 'candidates', candidates: twenty }))).toBeDefined()
    const more = [...twenty, CANDIDATE]
    expect(decodeSignal(JSON.stringify({ type: 'candidates', candidates: more }))).toBeUndefined()
  })

  it.each([
    'candidate:1 1 UDP 1 face.de 1 typ host',
    'candidate:1 1 UDP 1 localhost 1 typ host',
    'candidate:1 1 UDP 1 192.0.2.2 1 typ host\r\na=x:y',
    `candidate:1 1 UDP 1 192.0.2.2 1 typ host ${'x'.repeat(600)}`,
    '',
  ])('[PP2] refuses the candidate %j', (line) => {
    expect(isCandidate(line)).toBe(false)
  })

  it.each([{ label: 'x'.repeat(129) }, { ordered: 1 }, { maxRetransmits: -1 }, { maxRetransmits: 65_536 }])(
    'refuses the terms %j',
    (more) => expect(decodeSignal(offerOf(sdpOf(LINES), more))).toBeUndefined(),
  )

  it('[PP3] never throws, and is quick with the worst input', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), hostileSignals()), (body) => {
        decodeSignal(body)
      }),
      { numRuns: 2000, seed: 1 },
    )
    const worst = [`a=candidate:${'9'.repeat(8000)}`, 'a=x\r\n'.repeat(1600), `m=${'m='.repeat(4000)}`]
    const before = performance.now()
    for (const lines of worst) for (let i = 0; i < 100; i++) decodeSignal(offerOf(sdpOf([...LINES, lines])))
    expect(performance.now() - before).toBeLessThan(5_000)
  })
})

/** Signals with one mistake, or with lines that pass the check but make no sense. */
function hostileSignals(): fc.Arbitrary<string> {
  const line = fc.oneof(
    fc.stringMatching(/^[a-z]=[ -~]{0,60}$/),
    fc.constantFrom(
      'a=ice-ufrag:',
      'a=ice-pwd:x',
      'a=fingerprint:sha-256 00',
      'a=fingerprint:md5 AB',
      'a=setup:nonsense',
      'a=setup:holdconn',
      'a=sctp-port:99999999999999999999',
      'a=sctp-port:-1',
      'a=max-message-size:0',
      'a=max-message-size:-1',
      'a=mid:\u007f',
      'a=group:BUNDLE 9',
      'c=IN IP4 999.999.999.999',
      `a=${CANDIDATE.replace('48507', '99999999')}`,
      `a=${CANDIDATE.replace('192.0.2.2', '999.999.999.999')}`,
      `a=${CANDIDATE.replace('192.0.2.2', ':::::')}`,
    ),
  )
  const sdp = fc
    .tuple(fc.shuffledSubarray(LINES), fc.array(line, { maxLength: 12 }), fc.nat(14))
    .map(([kept, added, keep]) => {
      const base = LINES.slice(0, keep).concat(kept)
      return sdpOf([
        'v=0',
        'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
        ...base.filter((l) => !/^[vm]=/.test(l)),
        ...added,
      ])
    })
  return fc.oneof(
    sdp.map((text) => offerOf(text)),
    sdp.map((text) => JSON.stringify({ type: 'answer', sdp: text })),
    fc.array(line, { maxLength: 25 }).map((candidates) => JSON.stringify({ type: 'candidates', candidates })),
    fc.constantFrom('{}', 'null', '[]', '{"type":"offer"}', '{"type":"end","reason":{}}', '{"__proto__":1}'),
  )
}

describe('a hostile peer', () => {
  it('[PP3] that sends malformed signals gets no channel, and other peers still get theirs', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const bodies = fc.sample(hostileSignals(), { numRuns: 300, seed: 2 })
    bodies.forEach((body, index) => tier.inject('mallory', 'alice', `h${index % 40}`, body))
    controllers.make(tier, 'bob')
    const theirs = opened(alice)
    const channel = await alice.connect('bob')
    await theirs
    expect(channel.state).toBe('open')
    expect(alice.channels.filter(({ peer }) => peer === 'mallory')).toEqual([])
    expect(tier.errors).toEqual([])
  }, 30_000)

  it.each(
    fc.sample(hostileSignals(), { numRuns: 25, seed: 3 }).map((body) => body.replace('"offer"', '"answer"')),
  )('[PP3] that answers with %j fails the attempt', async (body) => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const context = tier.context('mallory')
    context.signaling.onSignal(({ handshake, body: asked }) => {
      if (asked.includes('"offer"')) tier.inject('mallory', 'alice', handshake, body)
    })
    expect(await failure(alice.connect('mallory', { deadlineMs: 500 }))).toMatchObject({
      name: 'ConnectError',
    })
    expect(tier.errors).toEqual([])
  })

  it('[PP2] cannot make this peer try any number of addresses', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice')
    const context = tier.context('mallory')
    const list = JSON.stringify({
      type: 'candidates',
      candidates: Array.from({ length: 20 }, () => CANDIDATE),
    })
    context.signaling.onSignal(({ handshake, body }) => {
      if (!body.includes('"offer"')) return
      for (let lists = 0; lists < 11; lists++) tier.inject('mallory', 'alice', handshake, list)
    })
    expect((await failure(alice.connect('mallory'))).message).toContain('too many candidates')
  })

  it('[PP4] cannot open any number of connections', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice', { accept: () => new Promise(() => undefined) })
    for (let i = 0; i < 100; i++) tier.inject(`mallory${i}`, 'alice', `h${i}`, offerOf(sdpOf(LINES)))
    for (let i = 0; i < 100; i++)
      tier.inject('mallory', 'alice', `g${i}`, offerOf(sdpOf(LINES), { label: `label ${i}` }))
    const busy = tier.sent.filter(({ from, body }) => from === 'alice' && body.includes('busy'))
    expect(busy).toHaveLength(REFUSALS_MAX)
    expect(alice.channels).toEqual([])
  })

  it('[PP4] is told that this peer is busy when every place is taken by a caller with one handshake', async () => {
    const tier = new Rendezvous()
    controllers.make(tier, 'alice', { accept: () => new Promise(() => undefined) })
    const bob = controllers.make(tier, 'bob')
    for (let i = 0; i < 32; i++) tier.inject(`caller${i}`, 'alice', `h${i}`, offerOf(sdpOf(LINES)))
    expect(await failure(bob.connect('alice'))).toMatchObject({
      stage: 'no-answer',
      message: expect.stringMatching(/busy: .* try again/),
    })
  })

  it('[PP4] cannot keep others out by handshakes that it begins and never finishes', async () => {
    const tier = new Rendezvous()
    const [alice, bob] = [controllers.make(tier, 'alice'), controllers.make(tier, 'bob')]
    // These peers exist and never continue their handshakes.
    for (let i = 0; i < 4; i++) tier.context(`mallory${i}`).signaling.onSignal(() => undefined)
    for (let i = 0; i < 32; i++)
      tier.inject(`mallory${i % 4}`, 'alice', `h${i}`, offerOf(sdpOf(LINES), { label: `label ${i}` }))
    const [channel] = await Promise.all([opened(alice), bob.connect('alice')])
    expect(channel.peer).toBe('bob')
    // Only handshakes of mallory count, because bob's may fail once and be tried again [PP11].
    const ended = tier.sent.filter(({ to, body }) => to.startsWith('mallory') && body.includes('"end"'))
    expect(ended.map(({ handshake }) => handshake)).toEqual(['h0'])
  })

  it('[PP4] cannot make this peer send any number of refusals', async () => {
    const tier = new Rendezvous()
    const clock = new FakeClock()
    const context = tier.context('alice', { clock })
    expect(createP2P(context, undefined, false)).toBeNull()
    const answered = (to: string): number =>
      tier.sent.filter(({ from, to: name }) => from === 'alice' && name === to).length
    const flood = async (from: string): Promise<void> => {
      for (let i = 0; i < 40; i++) tier.inject(from, 'alice', `h${i}`, offerOf(sdpOf(LINES)))
      await settled()
    }
    await flood('mallory')
    expect(answered('mallory')).toBe(8)
    await flood('bob')
    expect(answered('bob')).toBe(8)
    await clock.advance(1_000)
    await flood('mallory')
    expect(answered('mallory')).toBe(10)
    for (let i = 0; i < 100; i++) await flood(`crowd${i}`)
    expect(tier.sent.filter(({ from }) => from === 'alice').length).toBeLessThanOrEqual(64 + 50)
  })

  it('[PP4] cannot make this peer send any number of answers by new offers in one handshake', async () => {
    const tier = new Rendezvous()
    const clock = new FakeClock()
    vi.stubGlobal('RTCPeerConnection', FakeConnection)
    controllers.make(tier, 'alice', {}, { clock })
    const answers = (): number => tier.sent.filter(({ body }) => body.includes('"answer"')).length
    const offers = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) tier.inject('mallory', 'alice', 'h1', offerOf(sdpOf(LINES)))
      await clock.advance(0)
    }
    tier.context('mallory').signaling.onSignal(() => undefined)
    await offers(1)
    expect(answers()).toBe(1)
    await offers(150)
    expect(answers()).toBe(8)
    // A peer whose path changes once still gets an answer.
    await clock.advance(1_000)
    await offers(10)
    expect(answers()).toBe(10)
  })
})

describe('a peer', () => {
  it('[PP11] that called keeps its second try when the local caller gives up', async () => {
    const tier = new Rendezvous()
    const clock = new FakeClock()
    vi.stubGlobal('RTCPeerConnection', FakeConnection)
    const alice = controllers.make(tier, 'alice', {}, { clock })
    tier.context('bob').signaling.onSignal(() => undefined)
    const abort = new AbortController()
    tier.inject('bob', 'alice', 'h1', offerOf(sdpOf(LINES)))
    const call = failure(alice.connect('bob', { signal: abort.signal }))
    await clock.advance(100)
    tier.inject('bob', 'alice', 'h1', JSON.stringify({ type: 'end', reason: 'ended' }))
    await clock.advance(100)
    abort.abort()
    expect(await call).toMatchObject({ name: 'AbortError' })
    const ends = (): number => tier.sent.filter(({ body }) => body.includes('"end"')).length
    await clock.advance(10_000)
    expect(ends()).toBe(0)
    // No local caller waits any more, so the attempt ends 15 s after the other side began it.
    await clock.advance(5_000)
    expect(ends()).toBe(1)
  })
})
