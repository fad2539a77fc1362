import { once } from 'node:events'
import { Socket, connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Clock, Node } from '@peerage/core'
import { RegistryUnavailable, memoryCluster, systemClock } from '@peerage/core'
import { errorTexts, nameOf, parsePeer, peerOf } from '@peerage/protocol'
import type { App, Name } from '@peerage/protocol'
import { Server as OtherSocketIo } from 'socket.io'
import { io as connectOther } from 'socket.io-client'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { Addresses } from '../shared/address.js'
import { Limits } from '../shared/limits.js'
import {
  RawPeer,
  atEnd,
  closeNative,
  named,
  startNative,
  type NativeFixture,
} from '../../testing/native-fixture.js'
import { unlimited, type TestLimits } from '../../testing/unlimited.js'

const stream = 'A'.repeat(11)
const ALICE = peerOf('default' as App, 'alice' as Name)
afterEach(closeNative)

/** A clock that stands still, so that buckets do not refill while a flood is read on a slow machine. */
const stoodStill: Clock = { ...systemClock, monotonic: () => 0 }
/** Sends one message from alice to bob, so that bob has something to acknowledge. */
async function greet(alice: RawPeer, bob: RawPeer, seq = 1): Promise<void> {
  alice.send('lookup', { id: seq, names: ['bob'] })
  const found = await alice.until((frame) => frame.startsWith(`42["found",{"id":${seq},`))
  const since = Number(/"since":(\d+)/u.exec(found)?.[1])
  alice.send('send', { to: 'bob', since, stream, seq, base: 1, kind: 'message', body: '"hi"' })
  await bob.until((frame) => frame.startsWith('42["message"') && frame.includes(`"seq":${seq},`))
}

/** Holds the lookups of a node until `answer` is called. From then on lookups are answered at once. */
function heldLookups(node: Node): { names(): string[]; answer(): void } {
  const names: string[] = []
  const waiting: (() => void)[] = []
  let holds = true
  vi.spyOn(node, 'lookup').mockImplementation(async (peers) => {
    names.push(...peers.map((peer) => nameOf(peer)))
    if (holds) await new Promise<void>((resolve) => waiting.push(resolve))
    return peers.map(() => ({ state: 'offline' }))
  })
  return {
    names: () => names,
    answer: () => {
      holds = false
      for (const answer of waiting.splice(0)) answer()
    },
  }
}

/** Waits for `count` pongs of the node to another peer. By then the node has read what came before. */
async function pings(peer: RawPeer, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const ping = once(peer.ws, 'pong')
    peer.ws.ping()
    await ping
  }
}

function manyKeys(count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`key-${i}`, i]))
}

/** A clock that stands still. On it, pauses of `ms` end when `resume` is called. */
function pausedByHand(ms: number): Clock & { resume(): void } {
  const ends: (() => void)[] = []
  return {
    ...stoodStill,
    after: (wait, task) => {
      if (wait !== ms) return systemClock.after(wait, task)
      ends.push(task)
      return { cancel: () => {} }
    },
    resume: () => {
      const end = ends.shift()
      if (end === undefined) throw new Error('nothing is paused')
      end()
    },
  }
}

function rated(messagesPerSecond: number): { clock: Clock; limitValues: TestLimits } {
  const connection = { ...unlimited.connection, messagesPerSecond }
  return { clock: stoodStill, limitValues: { ...unlimited, connection } }
}

describe('claim', () => {
  test('[WH3] the welcome has the name of the peer and what the node offers', async () => {
    const { url, node } = await startNative()
    const welcome = await new RawPeer(url).claim({ name: 'alice' })
    expect(welcome).toMatchObject({ v: 1, app: 'default', name: 'alice', node: node.id, graceMs: 30_000 })
    expect(welcome['since']).toBeGreaterThan(0)
  })

  test('[WH4] a peer that names none gets a name that nobody can guess', async () => {
    const { url } = await startNative()
    const names = [await new RawPeer(url).claim(), await new RawPeer(url).claim()].map((w) =>
      String(w['name']),
    )
    expect(names[0]).not.toBe(names[1])
    for (const name of names) expect(Buffer.from(name, 'base64url')).toHaveLength(16)
  })

  test.each([
    [{ v: 2 }, 'bad-version'],
    [{ secret: 'short' }, 'bad-field'],
    [{ name: 'a\nb' }, 'bad-name'],
    [{ app: 'Not An App' }, 'bad-field'],
  ])('[WH2] %j is refused with a reason, and the peer may try again', async (hello, code) => {
    const { url } = await startNative()
    const peer = new RawPeer(url)
    expect((await peer.refused(hello)).data).toMatchObject({ code })
    expect(await peer.claim({ name: 'alice' })).toMatchObject({ name: 'alice' })
  })

  test('[WH5] a message before the claim is refused as not-claimed', async () => {
    const { url } = await startNative()
    const peer = new RawPeer(url)
    await peer.until((frame) => frame.startsWith('0'))
    peer.send('lookup', { id: 1, names: ['bob'] })
    expect(await peer.event('error')).toMatchObject({ code: 'not-claimed' })
    expect(await peer.claim({ name: 'alice' })).toMatchObject({ name: 'alice' })
  })

  test('[WH6] a connection without a name is closed in time', async () => {
    const { url } = await startNative({ claimMs: 50, times: { beatMs: 100 } })
    expect(await new RawPeer(url).end()).toMatchObject({ code: 4005 })
  })

  test('[WH6] a connection without a name is closed in time, also while the registry is unavailable', async () => {
    const { url, node } = await startNative({ claimMs: 50, times: { beatMs: 100 } })
    vi.spyOn(node.leases, 'renewTurn').mockRejectedValue(new RegistryUnavailable('away'))
    expect(await new RawPeer(url).end()).toMatchObject({
      code: 4005,
      reason: 'the peer did not claim a name in time',
    })
  })

  test('[WH10] of many hellos at once, one is claimed, and no second name is held', async () => {
    const { url, node } = await startNative()
    const claims = vi.spyOn(node, 'claim')
    const peer = new RawPeer(url)
    await peer.until((frame) => frame.startsWith('0'))
    const hello = (name: string): string => `40${JSON.stringify({ v: 1, secret: 's'.repeat(22), name })}`
    for (let i = 0; i < 6; i++) peer.ws.send(hello(`name-${i}`))
    expect(await peer.event('welcome')).toMatchObject({ name: 'name-0' })
    peer.ws.send(hello('another'))
    await peer.until((frame) => frame.includes('already-claimed'))
    expect(claims).toHaveBeenCalledTimes(1)
    expect(node.leases.count).toBe(1)
    expect(peer.closed).toBeUndefined()
  })

  test('[WH10] [WF9] after five more hellos during the first one the connection is closed', async () => {
    const { url, node } = await startNative()
    const claims = vi.spyOn(node, 'claim')
    const peer = new RawPeer(url)
    await peer.until((frame) => frame.startsWith('0'))
    for (let i = 0; i < 2_000; i++) peer.ws.send(`40{"v":1,"secret":"${'s'.repeat(22)}"}`)
    expect(await peer.end()).toMatchObject({ code: 4503 })
    expect(claims.mock.calls.length).toBeLessThanOrEqual(1)
  })

  test('[WH10] a hello for another namespace runs no claim', async () => {
    const { url, node } = await startNative()
    const claims = vi.spyOn(node, 'claim')
    const peer = new RawPeer(url)
    await peer.until((frame) => frame.startsWith('0'))
    for (let i = 0; i < 100; i++) peer.ws.send(`40/other,{"v":1,"secret":"${'s'.repeat(22)}"}`)
    expect((await peer.end()).code).toBe(4503)
    expect(claims).not.toHaveBeenCalled()
  })

  test('[WH10] after twenty refused hellos a connection is closed', async () => {
    const { url, node } = await startNative()
    const claims = vi.spyOn(node, 'claim')
    await named(url, 'alice')
    const thief = new RawPeer(url)
    for (let i = 0; i < 20; i++)
      expect((await thief.refused({ name: 'alice', secret: 'x'.repeat(22) })).message).toBe('name-taken')
    thief.ws.send(`40${JSON.stringify({ v: 1, secret: 'x'.repeat(22), name: 'alice' })}`)
    expect(await thief.end()).toMatchObject({ code: 4004 })
    expect(claims).toHaveBeenCalledTimes(22)
  })

  describe('over the rate of refusals of its address', () => {
    /** A node where every refusal of loopback is over the rate. Answers and pauses end when `resume` is called. */
    async function refusing(): Promise<NativeFixture & { late: () => number; resume: () => void }> {
      const clock = pausedByHand(1_000)
      const after = vi.spyOn(clock, 'after')
      const limits = new Limits(unlimited, clock)
      // These times keep the ticks of the heartbeat apart from the pauses of 1,000 ms.
      const engine = {
        pingIntervalMs: 30_000,
        pingTimeoutMs: 5_000,
        frameBytes: 65_536,
        bufferedBytes: 262_144,
      }
      const fixture = await startNative({ clock, limits, engine })
      for (let i = 0; i < 100; i++) limits.refusedMs('127.0.0.1')
      const late = (): number => after.mock.calls.filter(([ms]) => ms === 1_000).length
      return { ...fixture, late, resume: () => clock.resume() }
    }

    /** Writes frames in such a way that they arrive together. */
    function writeTogether(peer: RawPeer, frames: string[]): void {
      const socket: unknown = Reflect.get(peer.ws, '_socket')
      if (!(socket instanceof Socket)) throw new Error('no socket')
      socket.cork()
      for (const frame of frames) peer.ws.send(frame)
      socket.uncork()
    }

    test('[WH12] a peer without a name is answered a second late, and is not read until then', async () => {
      const { url, node, late, resume } = await refusing()
      const claims = vi.spyOn(node, 'claim')
      const peer = new RawPeer(url)
      await peer.until((frame) => frame.startsWith('0'))
      writeTogether(peer, ['40/other,{}', `40{"v":1,"name":"alice","secret":"${'s'.repeat(22)}"}`])
      await expect.poll(late).toBe(2)
      expect(peer.frames).toHaveLength(1)
      resume()
      await peer.until((frame) => frame.startsWith('44/other,'))
      expect(claims).not.toHaveBeenCalled()
      resume()
      expect(await peer.event('welcome')).toMatchObject({ name: 'alice' })
      expect(peer.frames.findIndex((frame) => frame.startsWith('44'))).toBe(1)
    })

    test('[WH12] answers to a refused hello and a malformed frame are late too, but not for a peer with a name', async () => {
      const { url, late, resume } = await refusing()
      const alice = await named(url, 'alice')
      alice.ws.send('noise')
      await alice.event('error')
      for (const said of [`40{"v":1,"name":"alice","secret":"${'x'.repeat(22)}"}`, '40{"v":9}', 'noise']) {
        const peer = new RawPeer(url)
        await peer.until((frame) => frame.startsWith('0'))
        const before = late()
        peer.ws.send(said)
        await expect.poll(late).toBe(before + 2)
        expect(peer.frames).toHaveLength(1)
        resume()
        await peer.until((frame) => frame.startsWith('44') || frame.startsWith('42["error"'))
        resume()
      }
    })

    test('[WH12] a peer that sends many frames before its answer is closed after the answer', async () => {
      const { url, node, late, resume } = await refusing()
      const claims = vi.spyOn(node, 'claim')
      const peer = new RawPeer(url)
      await peer.until((frame) => frame.startsWith('0'))
      const hello = `40{"v":1,"secret":"${'s'.repeat(22)}"}`
      writeTogether(peer, ['40/other,{}', ...Array.from({ length: 21 }, () => hello)])
      await expect.poll(late).toBe(2)
      expect(peer.closed).toBeUndefined()
      resume()
      await peer.until((frame) => frame.startsWith('44/other,'))
      resume()
      expect(await peer.end()).toMatchObject({ code: 4004 })
      expect(claims).not.toHaveBeenCalled()
    })

    test('[WH12] a hello that waited when its connection ended gets no name', async () => {
      const { url, node, gateway, late } = await refusing()
      const claims = vi.spyOn(node, 'claim')
      const peer = new RawPeer(url)
      await peer.until((frame) => frame.startsWith('0'))
      writeTogether(peer, ['40/other,{}', `40{"v":1,"secret":"${'s'.repeat(22)}"}`])
      await expect.poll(late).toBe(2)
      gateway.stop()
      await expect.poll(() => gateway.connections).toBe(0)
      expect(claims).not.toHaveBeenCalled()
    })
  })

  test('[WH7] [I9] a wrong secret looks like any taken name, and is slowed when repeated', async () => {
    const { url, node } = await startNative({
      clock: stoodStill,
      limitValues: { ...unlimited, name: { messagesPerSecond: 0, failuresPerMinute: 5 } },
    })
    const alice = await named(url, 'alice')
    const thief = new RawPeer(url)
    const first = await thief.refused({ name: 'alice', secret: 'x'.repeat(22) })
    expect(first).toEqual({
      message: 'name-taken',
      data: {
        code: 'name-taken',
        detail:
          `${errorTexts['name-taken']}. It is free when its holder leaves, or ` +
          "30 s after the holder's connection has ended (a silent connection ends within 15 s)",
        retryAfterMs: 45_000,
      },
    })
    // The answer is the same while the holder is away.
    alice.ws.terminate()
    await expect.poll(() => node.sessions.onlineCount).toBe(0)
    const again = (i: number): ReturnType<typeof thief.refused> =>
      thief.refused({ name: 'alice', secret: `${i}`.padEnd(22, 'y') })
    // The rate of a whole minute is allowed at once, so an honest peer learns that its name is taken.
    for (let i = 1; i < 5; i++) expect(await again(i)).toEqual(first)
    expect((await again(5)).data).toMatchObject({ code: 'rate-limited', retryAfterMs: expect.any(Number) })
  })

  test('[WH7] an address with too many refused hellos cannot claim, and other addresses can', async () => {
    const { url, node } = await startNative({
      clock: stoodStill,
      addresses: new Addresses(['127.0.0.0/8']),
      limitValues: { ...unlimited, address: { ...unlimited.address, failuresPerMinute: 5 } },
    })
    const at = (address: string): RawPeer => new RawPeer(url, { 'x-forwarded-for': address })
    await at('192.0.2.1').claim({ name: 'alice' })
    const thief = at('192.0.2.2')
    let tries = 0
    while ((await thief.refused({ name: 'alice', secret: 'x'.repeat(22) })).message === 'name-taken') tries++
    expect(tries).toBe(5)
    const claims = vi.spyOn(node, 'claim')
    const over = await at('192.0.2.2').refused({ name: 'bob' })
    expect(over.data).toMatchObject({ code: 'rate-limited', retryAfterMs: expect.any(Number) })
    expect(claims).not.toHaveBeenCalled()
    await at('192.0.2.3').claim({ name: 'bob' })
  })

  test('[WH7] loopback is never kept out, because a balancer on this machine may bring all peers', async () => {
    const { url } = await startNative({
      clock: stoodStill,
      limitValues: { ...unlimited, address: { ...unlimited.address, failuresPerMinute: 3 } },
    })
    await named(url, 'alice')
    const thief = new RawPeer(url)
    for (let i = 0; i < 5; i++) await thief.refused({ name: 'alice', secret: 'x'.repeat(22) })
    await named(url, 'bob')
  })

  test('[WH10] while too many claims wait, a hello is refused as overloaded with a retry time', async () => {
    const { url, node } = await startNative()
    vi.spyOn(node, 'claim').mockResolvedValueOnce({ ok: false, code: 'overloaded' })
    const peer = new RawPeer(url)
    const refused = await peer.refused({ name: 'alice' })
    expect(refused.data).toMatchObject({ code: 'overloaded', retryAfterMs: expect.any(Number) })
    expect(await peer.claim({ name: 'alice' })).toMatchObject({ name: 'alice' })
  })

  test.each(['40{"v":1', '40["a"]', '401{"v":1}', '40nonsense'])(
    '[WH10] %s is refused as a bad frame, and the peer may try again',
    async (frame) => {
      const { url } = await startNative()
      const peer = new RawPeer(url)
      await peer.until((text) => text.startsWith('0'))
      peer.ws.send(frame)
      expect(await peer.until((text) => text.startsWith('44'))).toBe(
        '44{"message":"bad-frame","data":{"code":"bad-frame","detail":"a hello is a JSON object of a few fields"}}',
      )
      expect(await peer.claim({ name: 'alice' })).toMatchObject({ name: 'alice' })
    },
  )

  test('[WH10] a hello that is slow to parse is refused, and a hello with the longest token is not', async () => {
    const { url } = await startNative()
    const peer = new RawPeer(url)
    await peer.until((text) => text.startsWith('0'))
    peer.ws.send(`40${JSON.stringify({ v: 1, secret: 's'.repeat(22), ...manyKeys(600) })}`)
    expect(await peer.until((text) => text.startsWith('44'))).toContain('"code":"bad-frame"')
    expect(await peer.claim({ name: 'alice', token: '"'.repeat(8_192) })).toMatchObject({ name: 'alice' })
  })

  test.each(['40/other,', '40/other,{"v":1}'])('[WH10] %s is refused in its namespace', async (frame) => {
    const { url } = await startNative()
    const peer = new RawPeer(url)
    await peer.until((text) => text.startsWith('0'))
    peer.ws.send(frame)
    expect(await peer.until((text) => text.startsWith('44'))).toMatch(/^44\/other,\{"message":"bad-frame"/)
    expect(await peer.claim({ name: 'alice' })).toMatchObject({ name: 'alice' })
  })

  test('[WH10] a peer that sends a hello and a disconnect at once is not counted as a slow consumer', async () => {
    const { url, counted } = await startNative()
    const peer = new RawPeer(url)
    await peer.until((text) => text.startsWith('0'))
    peer.ws.send(`40${JSON.stringify({ v: 1, name: 'alice', secret: 's'.repeat(22) })}`)
    peer.ws.send('41')
    await vi.waitFor(() => expect(counted).toContain('closed by-peer'))
    expect(counted).not.toContain('closed slow-consumer')
  })

  test('[I8] the secret takes the name back, and the old socket is closed as superseded', async () => {
    const { url } = await startNative()
    const old = await named(url, 'alice')
    await named(url, 'alice')
    expect(await old.event('closing')).toMatchObject({ reason: 'superseded' })
    expect(await old.end()).toEqual({ code: 4500, reason: expect.stringContaining('elsewhere') })
  })

  test.each(['https://evil.example', 'null', 'https://good.example.evil.example', 'HTTPS://GOOD.EXAMPLE'])(
    '[WH8] the origin %s is refused before the upgrade',
    async (origin) => {
      const { url, counted } = await startNative({ settings: { origins: ['https://good.example'] } })
      const peer = new RawPeer(url, { origin })
      const [, response] = (await once(peer.ws, 'unexpected-response')) as [unknown, { statusCode: number }]
      expect(response.statusCode).toBe(403)
      expect(counted).toContain(`refused native origin ${origin}: this origin may not connect`)
      await new RawPeer(url, { origin: 'https://good.example' }).claim({ name: 'alice' })
    },
  )
})

describe('frames', () => {
  test.each([
    ['[WF1] a packet that is no event', '42{"a":1}', 'bad-frame'],
    ['[WF1] another socket.io packet', '43[]', 'bad-frame'],
    ['[WF1] an event of another namespace', '42/admin,["send",{}]', 'bad-frame'],
    ['[WF1] noise', 'hello', 'bad-frame'],
    ['[WF3] an unknown type', '42["shout",{}]', 'unknown-type'],
    ['[WF4] a wrong field', '42["lookup",{"id":-1,"names":["bob"]}]', 'bad-field'],
    ['[WF4] a name outside the grammar', '42["lookup",{"id":1,"names":["a\\u0000"]}]', 'bad-name'],
    ['[WF5] many keys', `42["leave",${JSON.stringify(manyKeys(600))}]`, 'bad-frame'],
    ['[WF5] many numbers', `42["leave",{"x":[${'0,'.repeat(10_000)}0]}]`, 'bad-frame'],
    ['[WF5] deep nesting', `42["leave",{"x":${'['.repeat(50)}${']'.repeat(50)}}]`, 'too-deep'],
    ['[WF8] prototype keys', '42["__proto__",{}]', 'unknown-type'],
  ])('%s: is answered with a typed error, and the connection stays open', async (_, frame, code) => {
    const { url } = await startNative()
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    alice.ws.send(frame)
    expect(await alice.event('error')).toMatchObject({ code, detail: expect.any(String) })
    alice.send('lookup', { id: 7, names: ['bob'] })
    expect(await alice.event('found')).toMatchObject({ id: 7, peers: [{ name: 'bob', state: 'online' }] })
    expect(bob.frames.filter((text) => text.startsWith('42["error"'))).toEqual([])
  })

  test('[WE1] the error for a malformed request, or one before the hello, carries its id', async () => {
    const { url } = await startNative()
    const [alice, early] = [await named(url, 'alice'), new RawPeer(url)]
    alice.ws.send('42["lookup",{"id":7,"names":[]}]')
    expect(await alice.event('error')).toMatchObject({ id: 7 })
    await early.until((frame) => frame.startsWith('0'))
    early.send('lookup', { id: 8, names: ['bob'] })
    expect(await early.event('error')).toMatchObject({ code: 'not-claimed', id: 8 })
  })

  test('[WF7] a binary frame is answered with a typed error', async () => {
    const { url } = await startNative()
    const alice = await named(url, 'alice')
    alice.ws.send(Buffer.from('42["leave",{}]'))
    expect(await alice.event('error')).toMatchObject({ code: 'binary' })
    // A packet that announces a binary attachment is refused at once.
    alice.ws.send('451-["send",{"_placeholder":true,"num":0}]')
    await alice.until((frame) => frame.startsWith('42["error"') && frame.includes('bad-frame'))
  })

  test('[WF2] a frame over the limit ends only its own connection with 1009, and one at the limit is read', async () => {
    const { url, node } = await startNative()
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    bob.ws.send('4'.padEnd(65_536, 'x'))
    expect(await bob.event('error')).toMatchObject({ code: 'bad-frame' })
    alice.ws.send('4'.padEnd(65_537, 'x'))
    expect(await alice.end()).toMatchObject({ code: 1009 })
    // Alice's end of the connection may close before the end of the node.
    await expect.poll(() => node.sessions.onlineCount).toBe(1)
  })

  test('[WF9] a connection that sends only malformed frames is closed', async () => {
    const { url } = await startNative()
    const alice = await named(url, 'alice')
    for (let i = 0; i < 21; i++) alice.ws.send('noise')
    expect(await alice.end()).toMatchObject({ code: 4503 })
  })

  test('[WF9] without a name it is closed after five malformed frames, and each was answered', async () => {
    const { url } = await startNative()
    const peer = new RawPeer(url)
    await peer.until((frame) => frame.startsWith('0'))
    for (let i = 0; i < 5; i++) peer.ws.send('noise')
    expect(await peer.claim({ name: 'alice' })).toMatchObject({ name: 'alice' })
    const other = new RawPeer(url)
    await other.until((frame) => frame.startsWith('0'))
    for (let i = 0; i < 6; i++) other.ws.send('noise')
    expect(await other.end()).toMatchObject({ code: 4503 })
    expect(other.frames.filter((frame) => frame.startsWith('42["error"'))).toHaveLength(6)
  })

  test('[WR3] [I13] the node sets the sender, whatever the frame says', async () => {
    const { url } = await startNative()
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    alice.send('lookup', { id: 1, names: ['bob'] })
    const [{ since }] = (await alice.event('found'))['peers'] as [{ since: number }]
    alice.send('send', {
      to: 'bob',
      since,
      stream,
      seq: 1,
      base: 1,
      kind: 'message',
      body: 'x',
      from: 'mallory',
    })
    expect(await bob.event('message')).toMatchObject({ from: 'alice', body: 'x', seq: 1, stream })
  })
})

describe('answers', () => {
  test('[WE2] [I14] a send to an absent peer is answered with a notice', async () => {
    const { url } = await startNative()
    const alice = await named(url, 'alice')
    alice.send('send', { to: 'nobody', since: 1, stream, seq: 9, base: 9, kind: 'message', body: 'x' })
    expect(await alice.event('notice')).toEqual({ to: 'nobody', stream, seq: 9, code: 'unavailable' })
  })

  test('[WR1] the answer to a lookup is in the order of its names', async () => {
    const { url } = await startNative()
    const alice = await named(url, 'alice')
    await named(url, 'bob')
    alice.send('lookup', { id: 3, names: ['nobody', 'bob', 'alice'] })
    expect(await alice.event('found')).toMatchObject({
      id: 3,
      peers: [{ name: 'nobody', state: 'offline' }, { name: 'bob', state: 'online' }, { name: 'alice' }],
    })
  })

  test('[WR2] a watcher is told when the watched peer comes, goes away and leaves', async () => {
    const { url } = await startNative()
    const alice = await named(url, 'alice')
    alice.send('watch', { id: 1, names: ['bob'] })
    expect(await alice.event('found')).toMatchObject({ peers: [{ name: 'bob', state: 'offline' }] })
    const bob = await named(url, 'bob')
    await alice.until((frame) => frame.includes('"presence"') && frame.includes('online'))
    bob.ws.terminate()
    await alice.until((frame) => frame.includes('"presence"') && frame.includes('away'))
    const again = await named(url, 'bob')
    again.send('leave', {})
    await alice.until((frame) => frame.includes('"presence"') && frame.includes('offline'))
  })

  test('[WR2] a watch beyond 256 names is refused as too-many', async () => {
    const { url } = await startNative()
    const alice = await named(url, 'alice')
    const names = (from: number): string[] => Array.from({ length: 64 }, (_, i) => `n${from + i}`)
    for (let i = 0; i < 5; i++) alice.send('watch', { id: i, names: names(i * 64) })
    expect(await alice.event('error')).toMatchObject({ code: 'too-many', id: 4 })
  })

  test('[WR11] requests of one connection start in the order in which they came, sixteen at a time', async () => {
    const { url, node } = await startNative()
    const alice = await named(url, 'alice')
    const asked = heldLookups(node)
    const names = Array.from({ length: 18 }, (_, i) => `n${i + 1}`)
    for (const [i, name] of names.entries()) alice.send('lookup', { id: i + 1, names: [name] })
    alice.send('join', { id: 21, room: 'hall' })
    alice.send('say', { id: 22, room: 'hall', body: '1' })
    alice.send('part', { id: 23, room: 'hall' })
    await vi.waitFor(() => expect(asked.names()).toEqual(names.slice(0, 16)))
    await pings(await named(url, 'bob'), 50)
    expect(asked.names()).toHaveLength(16)
    expect(node.rooms.count).toBe(0)
    asked.answer()
    await vi.waitFor(() => expect(asked.names()).toEqual(names))
    // Alice was in the room when the message was sent, and is out of it after the `part`.
    await alice.until((frame) => frame.startsWith('42["roomed",{"id":21,'))
    for (const id of [22, 23]) await alice.until((frame) => frame.startsWith(`42["done",{"id":${id}`))
    expect(node.rooms.count).toBe(0)
  })

  test('[WR11] a request that still waits when its connection ends is never started', async () => {
    const { url, node, counted } = await startNative()
    const alice = await named(url, 'alice')
    const asked = heldLookups(node)
    for (let id = 1; id <= 16; id++) alice.send('lookup', { id, names: [`n${id}`] })
    alice.send('join', { id: 17, room: 'hall' })
    alice.send('watch', { id: 18, names: ['bob'] })
    await vi.waitFor(() => expect(asked.names()).toHaveLength(16))
    const [session] = [...node.sessions.allOnline()]
    alice.ws.terminate()
    await vi.waitFor(() => expect(counted).toContain('closed cut'))
    asked.answer()
    await pings(await named(url, 'bob'), 50)
    expect(node.rooms.count).toBe(0)
    expect(session && node.watchers.count(session.connection.id)).toBe(0)
  })

  test('[WR11] a request that has waited too long is not started, except `part` and `unwatch`', async () => {
    let now = 0
    const { url, node } = await startNative({
      clock: { ...systemClock, monotonic: () => now },
      commandMs: 800,
    })
    const alice = await named(url, 'alice')
    alice.send('join', { id: 30, room: 'hall' })
    alice.send('watch', { id: 31, names: ['bob'] })
    await alice.until((frame) => frame.startsWith('42["found",{"id":31,'))
    const asked = heldLookups(node)
    for (let id = 1; id <= 17; id++) alice.send('lookup', { id, names: [`n${id}`] })
    alice.send('part', { id: 32, room: 'hall' })
    alice.send('unwatch', { names: ['bob'] })
    await vi.waitFor(() => expect(asked.names()).toHaveLength(16))
    await pings(alice, 1)
    now = 3_201
    asked.answer()
    expect(await alice.event('error')).toMatchObject({ id: 17, code: 'registry-unavailable' })
    await alice.until((frame) => frame.startsWith('42["done",{"id":32'))
    expect(asked.names()).toHaveLength(16)
    expect(node.rooms.count).toBe(0)
    const [session] = [...node.sessions.allOnline()]
    await vi.waitFor(() => expect(session && node.watchers.count(session.connection.id)).toBe(0))
  })

  test('[WR11] at most 1,000 requests of one connection wait, and `part` always may', async () => {
    const { url, node } = await startNative()
    const alice = await named(url, 'alice')
    alice.send('join', { id: 1, room: 'hall' })
    await alice.until((frame) => frame.startsWith('42["roomed",{"id":1,'))
    const asked = heldLookups(node)
    for (let id = 2; id <= 1 + 16 + 1_000 + 1; id++) alice.send('lookup', { id, names: ['bob'] })
    alice.send('part', { id: 2_000, room: 'hall' })
    const error = await alice.event('error')
    expect(error).toMatchObject({ id: 1_018, code: 'rate-limited', retryAfterMs: 1_000 })
    asked.answer()
    await alice.until((frame) => frame.startsWith('42["found",{"id":1017,'))
    await alice.until((frame) => frame.startsWith('42["done",{"id":2000'))
  })

  test('[WR11] [WC5] room messages before a leave or a close are delivered', async () => {
    const { url } = await startNative()
    const bob = await named(url, 'bob')
    bob.send('join', { id: 1, room: 'hall' })
    await bob.event('roomed')
    for (const name of ['alice', 'carol']) {
      const peer = await named(url, name)
      peer.send('join', { id: 1, room: 'hall' })
      await peer.event('roomed')
      for (let id = 2; id <= 61; id++) peer.send('say', { id, room: 'hall', body: `"${name} ${id}"` })
      if (name === 'alice') peer.send('leave', {})
      else peer.ws.close()
      await bob.until((frame) => frame.includes('"said"') && frame.includes(`${name} 61`))
      const heard = bob.frames.filter((frame) => frame.includes('"said"') && frame.includes(`${name} `))
      expect(heard).toHaveLength(60)
    }
  })

  test('[WR4] a send over a rate is answered with a notice, and a flood is closed', async () => {
    const { url } = await startNative({
      clock: stoodStill,
      limitValues: {
        ...unlimited,
        connection: { messagesPerSecond: 5, bytesPerSecond: 0, signalBytesPerSecond: 0, lookupsPerSecond: 0 },
      },
    })
    const alice = await named(url, 'alice')
    const send = { to: 'bob', since: 1, stream, base: 1, kind: 'message', body: 'x' }
    for (let seq = 1; seq <= 20; seq++) alice.send('send', { ...send, seq })
    await alice.until((frame) => frame.includes('"notice"') && frame.includes('rate-limited'))
    for (let seq = 1; seq <= 2_100; seq++) alice.send('send', { ...send, seq })
    expect(await alice.end()).toMatchObject({ code: 4004 })
  })

  test('[WR4] after a long frame over a rate nothing is handled for 100 ms, not even frames that have come', async () => {
    const clock = pausedByHand(100)
    const { url } = await startNative({ ...rated(10), clock })
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    const send = (seq: number, length: number): void =>
      alice.send('send', {
        to: 'bob',
        since: 1,
        stream,
        seq,
        base: 1,
        kind: 'message',
        body: 'x'.repeat(length),
      })
    for (let seq = 1; seq <= 20; seq++) alice.send('lookup', { id: seq, names: ['bob'] })
    for (let seq = 1; seq <= 3; seq++) send(seq, 5_000)
    send(4, 10)
    send(5, 5_000)
    const told = (): number[] =>
      alice.frames
        .filter((frame) => frame.includes('"rate-limited"'))
        .map((frame) => Number(/"seq":(\d+)/u.exec(frame)?.[1]))
    await alice.until((frame) => frame.includes('"seq":1'))
    await pings(bob, 15)
    expect(told()).toEqual([1])
    for (const seq of [2, 3]) {
      clock.resume()
      await alice.until((frame) => frame.includes(`"seq":${seq}`))
    }
    expect(told()).toEqual([1, 2, 3])
    clock.resume()
    await alice.until((frame) => frame.includes('"seq":5'))
    expect(told()).toEqual([1, 2, 3, 4, 5])
  })

  test('[WR4] a peer that goes on asking over a rate is read more slowly, and no frame is lost', async () => {
    const clock = pausedByHand(20)
    const limitValues = { ...unlimited, connection: { ...unlimited.connection, lookupsPerSecond: 1 } }
    const { url } = await startNative({ clock, limitValues })
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    for (let id = 1; id <= 110; id++) alice.send('lookup', { id, names: ['bob'] })
    alice.send('leave', {})
    const refused = (): number => alice.frames.filter((frame) => frame.includes('"rate-limited"')).length
    await alice.until((frame) => frame.includes('"id":103}'))
    await pings(bob, 50)
    // Two hellos are within the rate, a hundred more are refused at once, and one more is refused before the first pause.
    expect(refused()).toBe(101)
    for (let id = 104; id <= 110; id++) {
      clock.resume()
      await alice.until((frame) => frame.includes(`"id":${id}}`))
    }
    expect(alice.closed).toBeUndefined()
    clock.resume()
    expect(await alice.end()).toMatchObject({ code: 4501 })
  })

  test('[WR4] [WC3] a peer that is read slowly does not time out while its pongs wait among its frames', async () => {
    const limitValues = { ...unlimited, connection: { ...unlimited.connection, lookupsPerSecond: 1 } }
    const { url } = await startNative({
      limitValues,
      engine: { pingIntervalMs: 200, pingTimeoutMs: 100, frameBytes: 65_536, bufferedBytes: 262_144 },
    })
    const alice = await named(url, 'alice')
    for (let id = 1; id <= 160; id++) alice.send('lookup', { id, names: ['bob'] })
    // About fifty frames are held for a second.
    await alice.until((frame) => frame.includes('"id":160'))
    expect(alice.closed).toBeUndefined()
  })

  test('[WR4] a leave that comes while the connection is not read counts', async () => {
    const limitValues = { ...unlimited, connection: { ...unlimited.connection, lookupsPerSecond: 1 } }
    const { url, node } = await startNative({ clock: pausedByHand(20), limitValues })
    const alice = await named(url, 'alice')
    for (let id = 1; id <= 110; id++) alice.send('lookup', { id, names: ['bob'] })
    alice.send('leave', {})
    await alice.until((frame) => frame.includes('"id":103}'))
    alice.ws.terminate()
    const peer = parsePeer('default/alice')
    if (!peer.ok) return expect.unreachable()
    await vi.waitFor(async () => expect(await node.lookup([peer.value])).toEqual([{ state: 'offline' }]))
  })

  test('[WR4] after long frames over a rate a peer is not read, and its further frames wait at its own end', async () => {
    const connection = { ...unlimited.connection, bytesPerSecond: 10_000 }
    const { url, counted } = await startNative({
      clock: stoodStill,
      limitValues: { ...unlimited, connection },
    })
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    const body = 'x'.repeat(40_000)
    for (let seq = 1; seq <= 400; seq++)
      alice.send('send', { to: 'bob', since: 1, stream, seq, base: 1, kind: 'message', body })
    // Without the pauses, all frames were read during these pings.
    await pings(bob, 400)
    expect(counted.filter((line) => line.includes('rate-limited')).length).toBeLessThan(300)
  })

  test('[WR4] a frame with many keys costs more than its bytes', async () => {
    const connection = { ...unlimited.connection, bytesPerSecond: 50_000 }
    const { url } = await startNative({ clock: stoodStill, limitValues: { ...unlimited, connection } })
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    const report = { handshake: 'h', path: 'direct', ms: 1 }
    // By its bytes alone, each report takes a tenth of the bucket.
    alice.send('report', { ...report, x: manyKeys(500) })
    bob.send('report', { ...report, x: 'x'.repeat(10_000) })
    for (const peer of [alice, bob]) peer.send('lookup', { id: 1, names: ['bob'] })
    expect(await alice.event('error')).toMatchObject({ id: 1, code: 'rate-limited' })
    expect(await bob.event('found')).toMatchObject({ id: 1 })
  })

  test('[WR4] hellos count, and a flood of them is closed', async () => {
    const { url } = await startNative(rated(5))
    const peer = new RawPeer(url)
    await peer.until((frame) => frame.startsWith('0'))
    for (let i = 0; i < 5_000; i++) peer.ws.send('40{"v":9}')
    expect([4004, 4503]).toContain((await peer.end()).code)
  })

  test.each(['packets', 'WebSocket pongs'])(
    '[WR4] unsolicited %s count as messages, and a flood of them is closed',
    async (what) => {
      const { url } = await startNative(rated(50))
      const alice = await named(url, 'alice')
      for (let i = 0; i < 3_000; i++) {
        if (what === 'packets') alice.ws.send('3')
        else alice.ws.pong()
      }
      expect(await alice.end()).toMatchObject({ code: 4004 })
    },
  )

  test('[WR8] joins have a rate of their own: all rooms twice at once, and then no more', async () => {
    const { url } = await startNative({
      clock: stoodStill,
      limitValues: { ...unlimited, connection: { ...unlimited.connection, lookupsPerSecond: 200 } },
    })
    const alice = await named(url, 'alice')
    for (let id = 1; id <= 64; id++) alice.send('join', { id, room: `room-${id}` })
    await alice.until((frame) => frame.startsWith('42["roomed",{"id":64,'))
    for (let id = 65; id <= 129; id++) alice.send('join', { id, room: 'room-1' })
    expect(await alice.event('error')).toMatchObject({ id: 129, code: 'rate-limited' })
    expect(alice.frames.filter((frame) => frame.startsWith('42["roomed"')).length).toBeLessThanOrEqual(128)
  })

  test('[WR6] an acknowledgement of a delivered message is free', async () => {
    const { url } = await startNative(rated(8))
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    // Alice may send 16 messages at once, and half of them are lookups.
    for (let seq = 1; seq <= 8; seq++) await greet(alice, bob, seq)
    // Bob may send as many frames, and acknowledges each message in a separate frame.
    for (let next = 2; next <= 9; next++) bob.send('ack', { acks: [{ to: 'alice', stream, next }] })
    await alice.until((frame) => frame.includes('"acked"') && frame.includes('"next":9'))
    for (let id = 1; id <= 16; id++) bob.send('lookup', { id, names: ['alice'] })
    await bob.until((frame) => frame.startsWith('42["found",{"id":16,'))
    expect(bob.frames.some((frame) => frame.includes('rate-limited'))).toBe(false)
  })

  test('[WR6] acknowledgements of delivered messages cost their bytes only', async () => {
    const connection = { ...unlimited.connection, bytesPerSecond: 50_000 }
    const { url } = await startNative({ clock: stoodStill, limitValues: { ...unlimited, connection } })
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    for (let seq = 1; seq <= 180; seq++) await greet(alice, bob, seq)
    // Each of these frames costs 80,000 if it is not free.
    const acks = Array.from({ length: 60 }, () => ({ to: 'alice', stream, next: 2 }))
    for (let i = 0; i < 3; i++) bob.send('ack', { acks })
    bob.send('report', { handshake: 'h', path: 'direct', ms: 1, x: 'x'.repeat(40_000) })
    bob.send('lookup', { id: 1, names: ['alice'] })
    expect(await bob.event('found')).toMatchObject({ id: 1 })
    expect(bob.frames.some((frame) => frame.includes('rate-limited'))).toBe(false)
  })

  test('[WR6] acknowledgements beyond the delivered messages count, and a flood is closed', async () => {
    const { url } = await startNative(rated(50))
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    await greet(alice, bob)
    const acks = Array.from({ length: 64 }, () => ({ to: 'alice', stream, next: 2 }))
    for (let i = 0; i < 3_000; i++) bob.send('ack', { acks })
    expect(await bob.end()).toMatchObject({ code: 4004 })
    const got = alice.frames.filter((frame) => frame.includes('"acked"'))
    expect(got.length).toBeLessThanOrEqual(1 + 100)
  })

  test('[WR6] free acknowledgements are not saved up beyond a window', async () => {
    const { url, node } = await startNative(rated(50))
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    const [from, to] = [...node.sessions.allOnline()]
    if (from === undefined || to === undefined) return expect.unreachable()
    const reply = { node: node.id, connection: from.connection.id, ref: '' }
    for (let seq = 1; seq <= 1_500; seq++) {
      const frame = `42["message",{"seq":${seq},}]`
      const message = { from: from.peer, to: to.peer, wire: 'native', kind: 'message', reply, frame } as const
      to.connection.send({ type: 'relay', message })
    }
    const acks = Array.from({ length: 60 }, () => ({ to: 'alice', stream, next: 2 }))
    for (let sent = 0; sent < 1_500; sent += acks.length) bob.send('ack', { acks })
    await bob.until((frame) => frame.includes('rate-limited'))
    await pings(alice, 1)
    const got = alice.frames.filter((frame) => frame.includes('"acked"')).length
    expect(got).toBeGreaterThanOrEqual(1_024)
    expect(got).toBeLessThanOrEqual(1_024 + 100)
  })

  test('[WR6] the remembered name of a sender does not keep the envelope that it came in', async () => {
    const { url, node } = await startNative()
    const bob = await named(url, 'bob')
    const [session] = [...node.sessions.allOnline()]
    setFlagsFromString('--expose-gc')
    const collect: unknown = runInNewContext('gc')
    if (session === undefined || typeof collect !== 'function') throw new Error('a session and gc are needed')
    const heap = (): number => {
      collect()
      return process.memoryUsage().heapUsed
    }
    const before = heap()
    for (let i = 0; i < 500; i++) {
      // The name is a slice of the envelope, as in an envelope from another node.
      const envelope = Buffer.from(`default/a-sender-of-number-${i}:`.padEnd(100_000, 'x')).toString()
      const from = parsePeer(envelope.slice(0, envelope.indexOf(':')))
      if (!from.ok) throw new Error(from.problem)
      session.connection.send({
        type: 'relay',
        message: {
          from: from.value,
          to: session.peer,
          wire: 'native',
          kind: 'message',
          reply: { node: node.id, connection: session.connection.id, ref: '' },
          frame: `42["message",{"seq":${i},}]`,
        },
      })
    }
    await bob.until((frame) => frame.includes('"seq":499,'))
    expect(heap() - before).toBeLessThan(20_000_000)
  })

  test('[WR6] an acknowledgement to a peer that has sent nothing is dropped without a lookup or a strike', async () => {
    const { url, node } = await startNative(rated(50))
    const routes = vi.spyOn(node.router, 'route')
    const bob = await named(url, 'bob')
    const acks = Array.from({ length: 64 }, (_, i) => ({ to: `nobody-${i}`, stream, next: 2 }))
    for (let i = 0; i < 90; i++) bob.send('ack', { acks })
    await bob.until((frame) => frame.startsWith('0'))
    bob.send('lookup', { id: 7, names: ['bob'] })
    await bob.until((frame) => frame.startsWith('42["found",{"id":7,'))
    expect(routes).not.toHaveBeenCalled()
  })

  test('[WR4] WebSocket pings count too, and a flood of them is closed', async () => {
    const { url } = await startNative({
      clock: stoodStill,
      limitValues: {
        ...unlimited,
        connection: {
          messagesPerSecond: 50,
          bytesPerSecond: 0,
          signalBytesPerSecond: 0,
          lookupsPerSecond: 0,
        },
      },
    })
    const alice = await named(url, 'alice')
    const answered = once(alice.ws, 'pong')
    alice.ws.ping('one')
    expect(String((await answered)[0])).toBe('one')
    for (let i = 0; i < 3_000; i++) alice.ws.ping()
    expect(await alice.end()).toMatchObject({ code: 4004 })
  })

  test('[WR5] a message that the node does not carry is answered with a notice, and a signal passes', async () => {
    const { url } = await startNative()
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    alice.send('lookup', { id: 1, names: ['bob'] })
    const [{ since }] = (await alice.event('found'))['peers'] as [{ since: number }]
    const body = 'x'.repeat(10_001)
    alice.send('send', { to: 'bob', since, stream, seq: 1, base: 1, kind: 'message', body })
    expect(await alice.event('notice')).toMatchObject({ code: 'relay-refused' })
    alice.send('send', { to: 'bob', since, stream, seq: 2, base: 2, kind: 'signal', body })
    expect(await bob.event('message')).toMatchObject({ kind: 'signal', seq: 2 })
  })

  // Regression: characters were counted instead of bytes, so messages of two to four times the size passed.
  test('[WR5] the size of a message is counted in bytes', async () => {
    const { url } = await startNative()
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    alice.send('lookup', { id: 1, names: ['bob'] })
    const [{ since }] = (await alice.event('found'))['peers'] as [{ since: number }]
    const [fits, over] = ['é'.repeat(5_000), 'é'.repeat(5_001)]
    alice.send('send', { to: 'bob', since, stream, seq: 1, base: 1, kind: 'message', body: over })
    expect(await alice.event('notice')).toMatchObject({ code: 'relay-refused', seq: 1 })
    alice.send('send', { to: 'bob', since, stream, seq: 2, base: 2, kind: 'message', body: fits })
    expect(await bob.event('message')).toMatchObject({ seq: 2 })
    alice.send('join', { id: 2, room: 'hall' })
    await alice.event('roomed')
    alice.send('say', { id: 3, room: 'hall', body: over })
    expect(await alice.event('error')).toMatchObject({ code: 'relay-refused', id: 3 })
  })

  test('[WR6] an acknowledgement reaches the peer that it names, and is never answered', async () => {
    const { url } = await startNative()
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    await greet(alice, bob)
    bob.send('ack', {
      acks: [
        { to: 'nobody', stream, next: 3 },
        { to: 'alice', stream, next: 2 },
      ],
    })
    expect(await alice.event('acked')).toEqual({ from: 'bob', stream, next: 2 })
    // [WD19]
    bob.send('ack', { acks: [{ to: 'alice', stream, next: 3, unread: '1' }] })
    await alice.until((frame) => frame.includes('"next":3,"unread":"1"'))
    expect(bob.frames.some((frame) => frame.includes('notice') || frame.includes('error'))).toBe(false)
  })
})

describe('a room message', () => {
  // Regression: a message to ten thousand members counted as much as a message to one peer.
  test('[WR10] costs one for each member and each started kilobyte', async () => {
    // The rate allows 2,000 members at once.
    const { url } = await startNative(rated(100))
    const peers: RawPeer[] = []
    for (let i = 0; i < 20; i++) {
      const peer = await named(url, `peer-${i}`)
      peer.send('join', { id: 1, room: 'hall' })
      await peer.event('roomed')
      peers.push(peer)
    }
    const [alice, bob] = peers
    if (!alice || !bob) throw new Error('twenty peers came')
    const said = (peer: RawPeer): number =>
      peer.frames.filter((frame) => frame.startsWith('42["said"')).length
    for (let id = 2; id < 112; id++) alice.send('say', { id, room: 'hall', body: '"hello"' })
    await alice.until((frame) => frame.includes('"id":111'))
    expect(alice.frames.filter((frame) => frame.startsWith('42["done"'))).toHaveLength(100)
    expect(await alice.event('error')).toMatchObject({
      code: 'rate-limited',
      id: 102,
      retryAfterMs: 20,
      detail: 'too many messages for a room of 20 members',
    })
    // Ten kilobytes to 20 members cost as much as one kilobyte to 200.
    for (let id = 2; id < 14; id++) bob.send('say', { id, room: 'hall', body: 'x'.repeat(10_000) })
    await bob.until((frame) => frame.includes('"id":13'))
    expect(bob.frames.filter((frame) => frame.startsWith('42["done"'))).toHaveLength(10)
    await vi.waitFor(() => expect(said(alice)).toBe(10))
    await vi.waitFor(() => expect(said(bob)).toBe(100))
    expect(alice.closed ?? bob.closed).toBeUndefined()
  })

  test('[WR10] in a small room is only limited by the rate of messages, and costs other members nothing', async () => {
    const { url } = await startNative(rated(100))
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    for (const peer of [alice, bob]) {
      peer.send('join', { id: 1, room: 'hall' })
      await peer.event('roomed')
    }
    for (let id = 2; id < 152; id++) alice.send('say', { id, room: 'hall', body: '"hello"' })
    await alice.until((frame) => frame.includes('"id":151'))
    expect(alice.frames.filter((frame) => frame.startsWith('42["done"'))).toHaveLength(150)
    const heard = (): string[] => bob.frames.filter((frame) => frame.startsWith('42["said"'))
    await vi.waitFor(() => expect(heard()).toHaveLength(150))
  })
})

describe('ends', () => {
  test('[WC6] a peer that goes on sending after the close is cut', async () => {
    const { url } = await startNative()
    const stranger = connect(Number(new URL(url).port), '127.0.0.1')
    atEnd(() => void stranger.destroy())
    // The cut may be a reset, and `once` would reject with it.
    const ended = new Promise((resolve) => stranger.once('close', resolve))
    stranger.on('error', () => {})
    stranger.write(
      'GET /peerage/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    await once(stranger, 'data')
    // Text frames of one letter with a mask of zeros. This peer answers no close frame.
    const noise = Buffer.concat(
      Array.from({ length: 500 }, () => Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x78])),
    )
    const flood = setInterval(() => stranger.write(noise), 2)
    atEnd(() => clearInterval(flood))
    await ended
  })

  test('[WC5] a leave frees the name even over a rate', async () => {
    const { url } = await startNative(rated(5))
    const alice = await named(url, 'alice')
    for (let id = 1; id <= 20; id++) alice.send('lookup', { id, names: ['bob'] })
    alice.send('leave', {})
    expect(await alice.end()).toMatchObject({ code: 4501 })
    await new RawPeer(url).claim({ name: 'alice', secret: 'z'.repeat(22) })
  })

  /** A node whose registry executes claims at once, and answers them when `answer` is called. */
  async function slowFixture(): Promise<NativeFixture & { claims: () => number; answer: () => void }> {
    const cluster = memoryCluster()
    const backend = cluster.backend()
    const claim = backend.registry.claim.bind(backend.registry)
    const waiting: (() => void)[] = []
    let claims = 0
    backend.registry.claim = async (...asked) => {
      const claimed = await claim(...asked)
      claims++
      await new Promise<void>((resolve) => waiting.push(resolve))
      return claimed
    }
    const fixture = await startNative({ backend })
    return { ...fixture, claims: () => claims, answer: () => waiting.shift()?.() }
  }

  test.each(['before', 'after'])(
    '[WC5] a peer that gives up %s the answer to its hello does not keep a newly claimed name',
    async (when) => {
      const { url, node, claims, answer } = await slowFixture()
      const alice = new RawPeer(url)
      await alice.until((frame) => frame.startsWith('0'))
      alice.ws.send(`40${JSON.stringify({ v: 1, secret: 's'.repeat(22), name: 'alice' })}`)
      await vi.waitFor(() => expect(claims()).toBe(1))
      if (when === 'after') {
        answer()
        await vi.waitFor(() => expect(node.sessions.onlineCount).toBe(1))
      }
      alice.send('leave', { onlyNew: true })
      await vi.waitFor(() => expect([...node.sessions.all()]).not.toMatchObject([{ state: 'opening' }]))
      answer()
      expect(await alice.end()).toMatchObject({ code: 4501 })
      // The peer is told only when the name is free.
      expect(await node.lookup([ALICE])).toEqual([{ state: 'offline' }])
      expect(alice.frames.filter((frame) => frame.startsWith('44'))).toEqual([])
    },
  )

  test.each(['before', 'after'])(
    '[WC5] [I8] a peer that gives up %s the answer keeps a name that it held before',
    async (when) => {
      const { url, node, claims, answer } = await slowFixture()
      const first = new RawPeer(url)
      const welcome = first.claim({ name: 'alice' })
      await vi.waitFor(() => expect(claims()).toBe(1))
      answer()
      const { since } = await welcome
      first.ws.terminate()
      await vi.waitFor(async () => expect(await node.lookup([ALICE])).toEqual([{ state: 'away', since }]))
      const again = new RawPeer(url)
      await again.until((frame) => frame.startsWith('0'))
      again.ws.send(`40${JSON.stringify({ v: 1, secret: 's'.repeat(22), name: 'alice' })}`)
      await vi.waitFor(() => expect(claims()).toBe(2))
      if (when === 'after') {
        answer()
        await vi.waitFor(() => expect(node.sessions.onlineCount).toBe(1))
      }
      again.send('leave', { onlyNew: true })
      await vi.waitFor(() => expect([...node.sessions.all()]).not.toMatchObject([{ state: 'opening' }]))
      answer()
      expect(await again.end()).toMatchObject({ code: 4501 })
      await vi.waitFor(async () => expect(await node.lookup([ALICE])).toEqual([{ state: 'away', since }]))
    },
  )

  test('[WH5] a leave without a hello is refused as not-claimed', async () => {
    const { url } = await startNative()
    const peer = new RawPeer(url)
    await peer.until((frame) => frame.startsWith('0'))
    peer.send('leave', { onlyNew: true })
    expect(await peer.event('error')).toMatchObject({ code: 'not-claimed' })
    await peer.claim({ name: 'alice' })
  })

  test('[WC5] [I6] a leave frees the name, and the close is final', async () => {
    const { url } = await startNative()
    const alice = await named(url, 'alice')
    alice.send('leave', {})
    expect(await alice.end()).toMatchObject({ code: 4501 })
    await new RawPeer(url).claim({ name: 'alice', secret: 'z'.repeat(22) })
  })

  test('[WC3] a peer that answers no ping is cut, and keeps its name for the grace', async () => {
    const { url, node } = await startNative({
      // These times are long enough that a late tick is not mistaken for a pause of the process [PJ15].
      engine: { pingIntervalMs: 600, pingTimeoutMs: 240, frameBytes: 65_536, bufferedBytes: 262_144 },
    })
    const alice = await named(url, 'alice')
    alice.ws.removeAllListeners('message')
    expect(await alice.end()).toMatchObject({ code: 1006 })
    const [bob] = [await named(url, 'bob')]
    bob.send('lookup', { id: 1, names: ['alice'] })
    expect(await bob.event('found')).toMatchObject({ peers: [{ name: 'alice', state: 'away' }] })
    expect(node.sessions.onlineCount).toBe(1)
  })

  test('[WC4] a sender is refused while the recipient is behind, and a recipient that reads nothing is cut', async () => {
    const { url, counted } = await startNative({
      engine: { pingIntervalMs: 2_000, pingTimeoutMs: 60_000, frameBytes: 65_536, bufferedBytes: 262_144 },
      settings: { relay: { messageBytes: 50_000, bytesPerSecond: 1_000_000_000 } },
    })
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    alice.send('lookup', { id: 1, names: ['bob'] })
    const [{ since }] = (await alice.event('found'))['peers'] as [{ since: number }]
    bob.ws.pause()
    const body = 'x'.repeat(40_000)
    let seq = 0
    const told = alice.until((frame) => frame.includes('"notice"'))
    const flood = setInterval(() => {
      for (let i = 0; i < 50; i++)
        alice.send('send', { to: 'bob', since, stream, seq: ++seq, base: 1, kind: 'message', body })
    }, 5)
    const notice = await told
    clearInterval(flood)
    expect(notice).toContain('slow-consumer')
    expect(counted).not.toContain('closed slow-consumer')
    await vi.waitFor(() => expect(counted).toContain('closed slow-consumer'), 8_000)
    bob.ws.resume()
    await bob.end()
    expect(counted).toContain('closed slow-consumer')
  })

  // Regression: messages of other peers filled the buffers of the kernel, megabytes that a node does not see. A peer with
  // 1 Mbit/s got its ping after the ping timeout, and was cut.
  test('[WC4] by its pongs, at most half of the bound of other peers’ frames is unread by a peer', async () => {
    const { url, counted } = await startNative({
      engine: { pingIntervalMs: 60_000, pingTimeoutMs: 60_000, frameBytes: 65_536, bufferedBytes: 524_288 },
    })
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    alice.send('lookup', { id: 1, names: ['bob'] })
    const [{ since }] = (await alice.event('found'))['peers'] as [{ since: number }]
    let [bytes, pings, seq] = [0, 0, 0]
    bob.ws.removeAllListeners('message')
    bob.ws.on('message', (data: Buffer) => {
      if (data.toString() === '2') pings++
      else bytes += data.length
    })
    const body = 'x'.repeat(8_000)
    const offer = async (): Promise<void> => {
      alice.send('send', { to: 'bob', since, stream, seq: ++seq, base: 1, kind: 'signal', body })
      alice.send('ice', { id: seq + 1 })
      await alice.until((frame) => frame.startsWith(`42["ice",{"id":${seq + 1},`))
    }
    const notices = (): string[] => alice.frames.filter((frame) => frame.includes('"slow-consumer"'))
    while (notices().length === 0) await offer()
    await vi.waitFor(() => expect(bytes).toBeGreaterThan(256 * 1024))
    expect(bytes).toBeLessThan(256 * 1024 + 16_000)
    await vi.waitFor(() => expect(pings).toBe(8))
    for (let n = 0; n < pings; n++) bob.ws.send('3')
    // The pongs and this packet come in order.
    bob.send('lookup', { id: 2, names: ['bob'] })
    bytes = 0
    await vi.waitFor(() => expect(bytes).toBeGreaterThan(0))
    for (let n = 0; n < 10; n++) await offer()
    await vi.waitFor(() => expect(bytes).toBeGreaterThan(10 * 8_000))
    expect(notices()).toHaveLength(1)
    expect(counted.filter((line) => line.startsWith('closed'))).toEqual([])
  })

  // Regression: changes were written up to the whole bound, and a slow peer was cut because of what other peers did.
  test('[WC4] changes do not cut a peer that is behind, and it gets the latest ones when it reads on', async () => {
    const { url, counted } = await startNative({
      engine: { pingIntervalMs: 60_000, pingTimeoutMs: 60_000, frameBytes: 65_536, bufferedBytes: 262_144 },
      settings: { relay: { messageBytes: 50_000, bytesPerSecond: 1_000_000_000 } },
    })
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    const carol = await named(url, 'carol')
    bob.send('join', { id: 1, room: 'hall' })
    bob.send('watch', { id: 2, names: ['carol'] })
    await bob.event('roomed')
    const [watched] = (await bob.event('found'))['peers'] as [{ since: number }]
    alice.send('lookup', { id: 1, names: ['bob'] })
    const [{ since }] = (await alice.event('found'))['peers'] as [{ since: number }]
    bob.ws.pause()
    let seq = 0
    // One message at a time, so that a refusal is due to unread bytes and not to other frames of the same turn.
    for (const told = (): boolean => alice.frames.some((frame) => frame.includes('"notice"')); !told();) {
      const body = 'x'.repeat(40_000)
      alice.send('send', { to: 'bob', since, stream, seq: ++seq, base: 1, kind: 'message', body })
      alice.send('ice', { id: seq + 1 })
      await alice.until((frame) => frame.startsWith(`42["ice",{"id":${seq + 1},`))
    }
    // The changes take about 180 bytes each, together more than the whole bound.
    const crowd = Array.from({ length: 20 }, (_, i) => named(url, `${'x'.repeat(120)}${i}`))
    const flap = async (peer: RawPeer): Promise<void> => {
      for (let id = 1; id <= 100; id += 2) {
        peer.send('join', { id, room: 'hall' })
        await peer.until((frame) => frame.startsWith(`42["roomed",{"id":${id},`))
        peer.send('part', { id: id + 1, room: 'hall' })
        await peer.until((frame) => frame.startsWith(`42["done",{"id":${id + 1}}`))
      }
    }
    await Promise.all(crowd.map(async (peer) => flap(await peer)))
    carol.ws.close()
    await carol.end()
    alice.send('join', { id: 0, room: 'hall' })
    await alice.until((frame) => frame.startsWith('42["roomed",{"id":0,'))
    // Changes are batched for 50 ms.
    await alice.until((frame) => frame.startsWith('42["changed"') && frame.includes('"alice"'))
    expect(counted).not.toContain('closed slow-consumer')
    bob.ws.resume()
    await bob.until((frame) => frame.startsWith('42["presence"'))
    await bob.until((frame) => frame.startsWith('42["changed"') && frame.includes('"alice"'))
    const states = new Map<string, string>()
    for (const frame of bob.frames.filter((text) => text.startsWith('42["changed"')))
      for (const { name, state } of JSON.parse(frame.slice(2))[1].members) states.set(name, state)
    expect(states.get('alice')).toBe('joined')
    for (const name of ['alice', 'bob']) states.delete(name)
    expect(states.size).toBe(crowd.length)
    expect(new Set(states.values())).toEqual(new Set(['left']))
    expect(bob.frames.filter((frame) => frame.startsWith('42["presence"'))).toEqual([
      `42["presence",{"name":"carol","state":"away","since":${watched.since}}]`,
    ])
    expect(bob.closed).toBeUndefined()
  }, 30_000)

  test('[WR4] signals have a rate of their own: a handshake passes, and a flood is refused without a strike', async () => {
    const connection = { ...unlimited.connection, signalBytesPerSecond: 100_000 }
    const { url } = await startNative({ clock: stoodStill, limitValues: { ...unlimited, connection } })
    const [alice, bob] = [await named(url, 'alice'), await named(url, 'bob')]
    alice.send('lookup', { id: 1, names: ['bob'] })
    const [{ since }] = (await alice.event('found'))['peers'] as [{ since: number }]
    const signal = (seq: number): void =>
      alice.send('send', { to: 'bob', since, stream, seq, base: 1, kind: 'signal', body: 'x'.repeat(3_900) })
    // A handshake needs 40 KB.
    for (let seq = 1; seq <= 10; seq++) signal(seq)
    await bob.until((frame) => frame.includes('"seq":10,'))
    expect(alice.frames.some((frame) => frame.includes('"notice"'))).toBe(false)
    for (let seq = 11; seq <= 3_000; seq++) signal(seq)
    await alice.until((frame) => frame.includes('"notice"') && frame.includes('"seq":3000,'))
    expect(alice.frames.filter((frame) => frame.includes('rate-limited')).length).toBeGreaterThan(2_900)
    expect(alice.closed).toBeUndefined()
    expect(bob.closed).toBeUndefined()
  })

  test('[WC2] a drain closes every peer with a retry time', async () => {
    const { url, node, gateway } = await startNative()
    const peers = [await named(url, 'alice'), await named(url, 'bob')]
    node.beginDrain()
    await gateway.drain(100)
    for (const peer of peers) {
      expect(await peer.event('closing')).toMatchObject({ reason: 'drain', retryAfterMs: expect.any(Number) })
      expect(await peer.end()).toMatchObject({ code: 4000 })
    }
  })
})

describe('on a server with other listeners', () => {
  test('the application’s own socket.io keeps working, slow upgrades included', async () => {
    const { url, http } = await startNative()
    const other = new OtherSocketIo(http, {
      path: '/socket.io/',
      allowRequest: (_, decide) => void setTimeout(() => decide(null, true), 1_500),
    })
    atEnd(() => {
      other.disconnectSockets(true)
    })
    other.on('connection', (socket) => socket.emit('hi'))
    const client = connectOther(url, { transports: ['websocket'], reconnection: false })
    atEnd(() => void client.disconnect())
    const greeted = new Promise<void>((resolve) => client.on('hi', resolve))
    await named(url, 'alice')
    await greeted
    expect(client.connected).toBe(true)
  })

  test('an upgrade at another path is left alone', async () => {
    const { url, http } = await startNative()
    const seen = once(http, 'upgrade')
    const ws = new WebSocket(`${url.replace('http', 'ws')}/elsewhere`)
    ws.on('error', () => {})
    atEnd(() => ws.terminate())
    await seen
    expect(ws.readyState).toBe(WebSocket.CONNECTING)
  })

  test('[WC7] a draining node refuses upgrades with 503 and a retry time', async () => {
    const { url, node, counted } = await startNative()
    node.beginDrain()
    const [, response] = (await once(new RawPeer(url).ws, 'unexpected-response')) as [
      unknown,
      { statusCode: number; headers: Record<string, string> },
    ]
    expect(response.statusCode).toBe(503)
    expect(Number(response.headers['retry-after'])).toBeGreaterThan(0)
    expect(counted).toContain('rejected draining')
  })

  test('over a limit of connections an upgrade is refused with 503 and a retry time', async () => {
    const { url } = await startNative({
      limitValues: { ...unlimited, node: { connections: 1, connectsPerSecond: 0, bufferedBytes: 0 } },
    })
    await named(url, 'alice')
    const peer = new RawPeer(url)
    const [, response] = (await once(peer.ws, 'unexpected-response')) as [
      unknown,
      { statusCode: number; headers: Record<string, string> },
    ]
    expect(response.statusCode).toBe(503)
    expect(Number(response.headers['retry-after'])).toBeGreaterThan(0)
  })
})
