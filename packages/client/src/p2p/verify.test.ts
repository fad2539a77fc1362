import { createHmac } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { Controllers, closed, failure, opened, received } from '../testing/controllers.js'
import { endFading, fadingStack } from '../testing/fading-stack.js'
import { Rendezvous, seeded } from '../testing/rendezvous.js'
import type { ConnectionEnd, Verify } from './options.js'
import type { P2P } from './controls.js'

const controllers = new Controllers()
afterEach(() => controllers.close())
afterEach(endFading)

interface Call {
  local: ConnectionEnd
  remote: ConnectionEnd
  handshake: string
  label: string
  isCaller: boolean
}

/** Verifies by a keyed hash over both ends, and keeps what it was called with. */
function bySecret(secret: string): { verify: Verify; calls: Call[] } {
  const calls: Call[] = []
  const tagOf = (from: ConnectionEnd, to: ConnectionEnd, handshake: string): Uint8Array<ArrayBuffer> =>
    new Uint8Array(
      createHmac('sha256', secret)
        .update(JSON.stringify([from, to, handshake]))
        .digest(),
    )
  const verify: Verify = async (local, remote, line) => {
    const { handshake, label, isCaller } = line
    calls.push({ local, remote, handshake, label, isCaller })
    line.send(tagOf(local, remote, handshake))
    return Buffer.from(tagOf(remote, local, handshake)).equals(await line.receive())
  }
  return { verify, calls }
}

/** Never answers, and tells when it was called. */
function silent(): { verify: Verify; called: Promise<AbortSignal> } {
  let tell = (_signal: AbortSignal): void => undefined
  const called = new Promise<AbortSignal>((resolve) => (tell = resolve))
  const verify: Verify = (_local, _remote, { signal }) => {
    tell(signal)
    return new Promise(() => undefined)
  }
  return { verify, called }
}

const idsOf = (calls: Call[]): string[] => calls.map(({ handshake }) => handshake)

function channelsOf(...peers: P2P[]): unknown[] {
  const channels: unknown[] = []
  for (const p2p of peers) p2p.on('channel-opened', (channel) => channels.push(channel))
  return channels
}

describe('[PP43] verify', () => {
  it('gets the names, the fingerprints crosswise, the handshake, the label and the caller', async () => {
    const tier = new Rendezvous()
    const [ours, theirs] = [bySecret('secret'), bySecret('secret')]
    const alice = controllers.make(tier, 'alice', { verify: ours.verify })
    const bob = controllers.make(tier, 'bob', { verify: theirs.verify })
    const there = opened(bob)
    const channel = await alice.connect('bob', { label: 'share' })
    const heard = received(await there)
    await channel.send('hello')
    expect(await heard).toBe('hello')
    const [called, answered] = [ours.calls.at(-1), theirs.calls.at(-1)]
    expect(called).toMatchObject({ label: 'share', isCaller: true, local: { name: 'alice' } })
    expect(called?.local.fingerprint).toMatch(/^[\da-f]{64}$/)
    expect(called?.local.fingerprint).not.toBe(called?.remote.fingerprint)
    expect(answered).toEqual({
      ...called,
      local: called?.remote,
      remote: called?.local,
      isCaller: false,
    })
    const offer = tier.sent.findLast(({ body }) => body.includes('"offer"'))
    expect(called?.handshake).toBe(offer?.handshake)
    const sdp: string = JSON.parse(offer?.body ?? '').sdp
    expect(sdp.toLowerCase().replaceAll(':', '')).toContain(called?.local.fingerprint)
    expect(tier.errors).toEqual([])
  })

  it('runs once on each side when both call at once, and one channel opens', async () => {
    const tier = new Rendezvous({ random: seeded(7), delayMs: 20 })
    for (let round = 0; round < 20; round++) {
      const [ours, theirs] = [bySecret('secret'), bySecret('secret')]
      const alice = controllers.make(tier, 'alice', { verify: ours.verify })
      const bob = controllers.make(tier, 'bob', { verify: theirs.verify })
      const channels = channelsOf(alice, bob)
      const [here, there] = await Promise.all([alice.connect('bob'), bob.connect('alice')])
      const text = received(there)
      await here.send(`round ${round}`)
      expect(await text).toBe(`round ${round}`)
      expect(channels).toEqual(expect.arrayContaining([here, there]))
      expect(channels).toHaveLength(2)
      // libdatachannel may lose the DTLS handshake of a connection, and then there is another connection.
      const [ids, others] = [idsOf(ours.calls), idsOf(theirs.calls)]
      expect(ids.at(-1)).toBe(others.at(-1))
      for (const each of [ids, others]) expect(new Set(each).size).toBe(each.length)
      await Promise.all([alice.close(), bob.close()])
    }
    expect(tier.errors).toEqual([])
  }, 60_000)

  it.each([
    ['polite', 'alice', 'bob'],
    ['impolite', 'bob', 'alice'],
  ])('goes on with a new offer of a reloaded page, when the caller is %s', async (_, first, second) => {
    const tier = new Rendezvous()
    const waiting = silent()
    let isFirst = true
    const { verify } = bySecret('secret')
    const caller = controllers.make(tier, first, {
      verify: (...given) => {
        if (!isFirst) return verify(...given)
        isFirst = false
        return waiting.verify(...given)
      },
    })
    controllers.make(tier, second, { verify: silent().verify })
    const call = caller.connect(second)
    const signal = await waiting.called
    const reloaded = controllers.make(tier, second, { verify })
    const theirs = await reloaded.connect(first)
    expect((await call).state).toBe('open')
    expect(signal.aborted).toBe(true)
    const text = received(await call)
    await theirs.send('back')
    expect(await text).toBe('back')
    expect(tier.errors).toEqual([])
  })

  it('runs anew for the connection that reopens a lost channel', async () => {
    const tier = new Rendezvous()
    const stack = await fadingStack()
    const [ours, theirs] = [bySecret('secret'), bySecret('secret')]
    const alice = controllers.make(tier, 'alice', { ...stack, verify: ours.verify })
    const bob = controllers.make(tier, 'bob', { verify: theirs.verify })
    const there = opened(bob)
    const channel = await alice.connect('bob')
    await there
    const again = Promise.all([opened(alice), opened(bob)])
    const before = ours.calls.length
    const end = closed(channel)
    stack.lose()
    await end
    const [here] = await again
    expect(alice.channels).toEqual([here])
    expect(ours.calls.length).toBeGreaterThan(before)
    const [first, last] = [ours.calls[before - 1], ours.calls.at(-1)]
    expect(last?.handshake).not.toBe(first?.handshake)
    expect(last?.local.fingerprint).not.toBe(first?.local.fingerprint)
    expect(last?.remote.fingerprint).toBe(theirs.calls.at(-1)?.local.fingerprint)
  })
})

describe('[PP44] connect fails as not-verified', () => {
  const no: Verify = async () => false
  const yes: Verify = async () => true

  it.each([
    ['the caller says no', no, yes, '`verify` of this peer returned false'],
    ['the callee says no', yes, no, 'have not verified each other'],
    ['they have different secrets', bySecret('one').verify, bySecret('two').verify, 'verif'],
  ])('[PP6] [PP17] on both sides and at once when %s', async (_, ours, theirs, text) => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice', { verify: ours })
    const bob = controllers.make(tier, 'bob', { verify: theirs })
    const channels = channelsOf(alice, bob)
    // The call of the other side waits for the same channel.
    const errors = await Promise.all([
      failure(alice.connect('bob', { deadlineMs: 60_000 })),
      failure(bob.connect('alice', { deadlineMs: 60_000 })),
    ])
    for (const error of errors) expect(error).toMatchObject({ name: 'ConnectError', stage: 'not-verified' })
    expect(errors.map(({ message }) => message).join('\n')).toContain(text)
    expect(channels).toEqual([])
    expect(tier.reports.length).toBeGreaterThan(0)
    for (const report of tier.reports) expect(report).toMatchObject({ path: 'failed', stage: 'not-verified' })
    expect(tier.errors).toEqual([])
  })

  it('without another try, so that a wrong secret counts as one guess', async () => {
    const tier = new Rendezvous()
    const [ours, theirs] = [bySecret('wrong'), bySecret('right')]
    const alice = controllers.make(tier, 'alice', { verify: ours.verify })
    controllers.make(tier, 'bob', { verify: theirs.verify })
    await failure(alice.connect('bob', { deadlineMs: 60_000 }))
    const [ids, others] = [idsOf(ours.calls), idsOf(theirs.calls)]
    // The connection that was verified is the last one, and was verified once.
    const last = tier.sent.findLast(({ body }) => body.includes('"offer"'))?.handshake
    expect([ids.at(-1), others.at(-1)]).toEqual([last, last])
    for (const each of [ids, others]) expect(each.filter((id) => id === last)).toHaveLength(1)
  })

  it.each(['caller', 'callee'])('when only the %s has `verify`, and no message is delivered', async (who) => {
    const tier = new Rendezvous()
    const { verify } = bySecret('secret')
    const careful = controllers.make(tier, 'careful', { verify })
    const plain = controllers.make(tier, 'plain')
    const channels = channelsOf(careful)
    const reasons = new Promise((resolve) =>
      plain.on('channel-opened', (channel) => {
        channel.on('close', resolve)
        void channel.send('not for you').catch(() => undefined)
      }),
    )
    const calls: Promise<unknown>[] = []
    if (who === 'caller') calls.push(failure(careful.connect('plain', { deadlineMs: 60_000 })))
    else void plain.connect('careful', { deadlineMs: 60_000 }).catch(() => undefined)
    expect(await reasons).toMatch(/verif/)
    for (const error of await Promise.all(calls)) expect(error).toMatchObject({ stage: 'not-verified' })
    expect(channels).toEqual([])
    // Neither side reopens it.
    await expect.poll(() => careful.channels.concat(plain.channels)).toEqual([])
    const offers = tier.sent.filter(({ body }) => body.includes('"resumes"'))
    expect(offers).toEqual([])
    expect(tier.errors).toEqual([])
  })

  it('[PP6] by its deadline when `verify` does not return', async () => {
    const tier = new Rendezvous()
    const waiting = silent()
    const alice = controllers.make(tier, 'alice', { verify: waiting.verify })
    const bob = controllers.make(tier, 'bob', { verify: bySecret('secret').verify })
    const call = failure(alice.connect('bob', { deadlineMs: 2_000 }))
    const signal = await waiting.called
    expect(await call).toMatchObject({
      stage: 'not-verified',
      message: expect.stringContaining('have not verified each other in time'),
    })
    expect(signal.aborted).toBe(true)
    await expect.poll(() => tier.sent.filter(({ body }) => body.includes('not-verified'))).toHaveLength(1)
    expect(alice.channels.concat(bob.channels)).toEqual([])
  })

  it('[PP45] when more than 4 MiB come before the channel is verified', async () => {
    const tier = new Rendezvous()
    const alice = controllers.make(tier, 'alice', { verify: silent().verify })
    const bob = controllers.make(tier, 'bob')
    bob.on('channel-opened', (channel) => {
      for (let i = 0; i < 80; i++) void channel.send(new Uint8Array(64 * 1024)).catch(() => undefined)
    })
    expect(await failure(alice.connect('bob', { deadlineMs: 60_000 }))).toMatchObject({
      stage: 'not-verified',
      message: expect.stringContaining('sent too much'),
    })
  })

  it('when `verify` itself closes the controller', async () => {
    const tier = new Rendezvous()
    const alice: P2P = controllers.make(tier, 'alice', {
      verify: async () => {
        void alice.close()
        return true
      },
    })
    const bob = controllers.make(tier, 'bob', { verify: async () => true })
    const channels = channelsOf(alice, bob)
    expect((await failure(alice.connect('bob'))).message).toContain('this peer was closed')
    expect(channels).toEqual([])
    expect(tier.errors).toEqual([])
  })

  it('[PP12] not when its caller aborts, and then `verify` is told', async () => {
    const tier = new Rendezvous()
    const waiting = silent()
    const alice = controllers.make(tier, 'alice', { verify: waiting.verify })
    controllers.make(tier, 'bob', { verify: waiting.verify })
    const abort = new AbortController()
    const call = failure(alice.connect('bob', { signal: abort.signal }))
    const signal = await waiting.called
    const told = new Promise((resolve) => signal.addEventListener('abort', resolve))
    abort.abort(new Error('enough'))
    expect((await call).message).toBe('enough')
    await told
  })
})
