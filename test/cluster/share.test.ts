import { randomBytes } from 'node:crypto'
import { RTCPeerConnection } from 'node-datachannel/polyfill'
import type { Clock } from '@peerage/client'
import { startHaproxy } from '@peerage/test-support/haproxy.js'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { startTopology, type Deployment } from '@peerage/test-support/redis-topologies.js'
import {
  acceptAll,
  fileOf,
  filesOf,
  join,
  KeepingStore,
  received,
  sha256,
  startSide,
  untilBytes,
  untilState,
  WAIT,
  type Side,
  type SideOptions,
} from '@peerage/test-support/share.js'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

// Sharing between two peers on two nodes, over real channels and through real nodes: paths, losses and restarts.

const MIB = 1024 * 1024

let redis: Deployment
let nodes: Node[]

beforeAll(async () => {
  redis = await startTopology('standalone')
  nodes = await startNodes(2, { redisUrl: redis.url })
})

afterAll(async () => {
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await redis?.stop()
})

const sideOn = (node: number, what: string, options?: SideOptions): Promise<Side> =>
  startSide(nodes[node]?.url ?? '', what, options)

test('[FT50] a file arrives over a direct channel with the same SHA-256', async () => {
  const [host, guest] = [await sideOn(0, 'host'), await sideOn(1, 'guest')]
  const file = randomBytes(20 * MIB + 17)
  const share = host.sharing.host()
  share.add([fileOf('folder/file.bin', file)])
  const session = await join(guest, share)
  await acceptAll(session)
  expect(await received(session)).toEqual([sha256(file)])
  expect(session.state).toMatchObject({ name: 'open', path: 'direct' })
  expect(session.peer).toEqual({ name: host.peer.name, device: 'host' })
  expect(share.sessions.map(({ peer }) => peer)).toEqual([{ name: guest.peer.name, device: 'guest' }])
})

test('[FT66] with four channels a file arrives with the same SHA-256, in both directions', async () => {
  const sharing = { channels: 4, moreChannels: { rttMs: 0, bytesLeft: 0 } }
  const [host, guest] = [await sideOn(0, 'host', { sharing }), await sideOn(1, 'guest', { sharing })]
  const [there, back] = [randomBytes(12 * MIB + 1), randomBytes(12 * MIB + 2)]
  const share = host.sharing.host()
  share.add([fileOf('there.bin', there)])
  const session = await join(guest, share)
  await untilState(session, { name: 'open' })
  const [hosted] = share.sessions
  if (hosted === undefined) throw new Error('the host has no session')
  session.transfer.offer([fileOf('back.bin', back)])
  await expect.poll(() => filesOf(hosted).length, WAIT).toBe(2)
  await expect.poll(() => filesOf(session).length, WAIT).toBe(2)
  for (const side of [session, hosted])
    side.transfer.accept(
      filesOf(side)
        .filter(({ direction }) => direction === 'in')
        .map(({ key }) => key),
    )
  // Nothing moves until all channels are open.
  session.transfer.pause()
  await expect.poll(() => guest.peer.p2p?.channels.length, WAIT).toBe(4)
  session.transfer.resume()
  const complete = (side: typeof session): unknown => filesOf(side).map(({ state }) => state.name)
  await expect.poll(() => complete(session), WAIT).toEqual(['complete', 'complete'])
  await expect.poll(() => complete(hosted), WAIT).toEqual(['complete', 'complete'])
  const channels = guest.peer.p2p?.channels ?? []
  expect(channels).toHaveLength(4)
  const counts = await Promise.all(channels.map((channel) => channel.info()))
  // Each carried some of the 12 MiB in each direction.
  for (const { messagesSent, messagesReceived } of counts)
    expect(Math.min(messagesSent, messagesReceived)).toBeGreaterThan(4)
})

test('[FT51] two peers that are each the guest of the other have two sessions over channels', async () => {
  const [one, other] = [await sideOn(0, 'one'), await sideOn(1, 'other')]
  const [ones, others] = [one.sharing.host(), other.sharing.host()]
  const file = randomBytes(3 * MIB)
  for (const share of [ones, others]) share.add([fileOf('file.bin', file)])
  const sessions = await Promise.all([join(other, ones), join(one, others)])
  for (const session of sessions) await untilState(session, { name: 'open', path: 'direct' })
  for (const session of sessions) await acceptAll(session)
  for (const session of sessions) expect(await received(session)).toEqual([sha256(file)])
  for (const session of [...sessions, ...ones.sessions, ...others.sessions])
    expect(session.state).toMatchObject({ name: 'open', path: 'direct' })
})

test('[FT50] while a channel takes long, the server carries the messages, and the channel then takes its place', async () => {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  class SlowConnection extends RTCPeerConnection {
    override async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
      await opened
      return super.setRemoteDescription(description)
    }
  }
  // The server's turn comes at once.
  const clock: Clock = {
    now: () => Date.now(),
    after: (ms, task) => {
      const timer = setTimeout(task, ms === 3_000 ? 0 : ms)
      return { cancel: () => clearTimeout(timer) }
    },
  }
  const host = await sideOn(0, 'host')
  const guest = await sideOn(1, 'guest', { sharing: { clock }, p2p: { RTCPeerConnection: SlowConnection } })
  const share = host.sharing.host()
  const session = await join(guest, share)
  const states: string[] = []
  session.onChange(() => states.push(session.state.name))
  await untilState(session, { name: 'open', path: 'server' })
  session.transfer.sendText('hello')
  open()
  await untilState(session, { name: 'open', path: 'direct' })
  const [hosted, ...more] = share.sessions
  expect(more).toEqual([])
  await expect.poll(() => hosted?.transfer.state.items.length, WAIT).toBe(1)
  expect(hosted?.state).toMatchObject({ name: 'open', path: 'direct' })
  expect(states).not.toContain('reconnecting')
})

test('[FT56] without P2P a file arrives through the server with the same SHA-256', async () => {
  const [host, guest] = [await sideOn(0, 'host', { p2p: false }), await sideOn(1, 'guest')]
  const file = randomBytes(2 * MIB + 17)
  const share = host.sharing.host()
  share.add([fileOf('file.bin', file)])
  const session = await join(guest, share)
  await acceptAll(session)
  expect(await received(session)).toEqual([sha256(file)])
  expect(session.state).toMatchObject({ name: 'open', path: 'server' })
  expect(session.serverBytesPerSecond).toBe(768 * 1024)
})

test('[FT57] a channel that opens during a transfer replaces the server, and the file is whole', async () => {
  let isPossible = false
  class LateConnection extends RTCPeerConnection {
    constructor(configuration?: RTCConfiguration) {
      if (!isPossible) throw new Error('no connection can be made yet')
      super(configuration)
    }
  }
  // The waits before the next attempts are 15 s and more.
  const clock: Clock = {
    now: () => Date.now(),
    after: (ms, task) => {
      const timer = setTimeout(task, Math.min(ms, 1_000))
      return { cancel: () => clearTimeout(timer) }
    },
  }
  const host = await sideOn(0, 'host')
  const guest = await sideOn(1, 'guest', { sharing: { clock }, p2p: { RTCPeerConnection: LateConnection } })
  const file = randomBytes(24 * MIB + 17)
  const share = host.sharing.host()
  share.add([fileOf('file.bin', file)])
  const session = await join(guest, share)
  await untilState(session, { name: 'open', path: 'server' })
  await acceptAll(session)
  await untilBytes(session, 1)
  isPossible = true
  await untilState(session, { name: 'open', path: 'direct' })
  expect(filesOf(session)[0]?.state.name).toBe('accepted')
  expect(await received(session)).toEqual([sha256(file)])
  // No block was kept twice.
  expect(guest.store.puts).toBe(25)
})

test('[FT59] a transfer through the server survives the death of a node', async () => {
  const pair = await startNodes(2, { redisUrl: redis.url, args: ['--redis-prefix', 'share-death:'] })
  const haproxy = await startHaproxy({ backends: pair })
  onTestFinished(async () => {
    await haproxy.stop()
    await Promise.all(pair.map((node) => node.stop()))
  })
  await Promise.all(pair.map((_, index) => haproxy.until(index, 'UP')))
  const host = await startSide(haproxy.url, 'host', { p2p: false })
  const guest = await startSide(haproxy.url, 'guest', { p2p: false })
  const file = randomBytes(6 * MIB + 17)
  const share = host.sharing.host()
  share.add([fileOf('file.bin', file)])
  const session = await join(guest, share)
  await acceptAll(session)
  await untilBytes(session, MIB)
  if (guest.peer.state.state !== 'online') throw new Error('the guest is not online')
  const { node } = guest.peer.state
  await pair.find(({ id }) => id === node)?.kill()
  expect(await received(session)).toEqual([sha256(file)])
})

test('[FT59] a transfer over a channel goes on while the node of a peer is dead', async () => {
  const [own, ...others] = await startNodes(1, { redisUrl: redis.url })
  if (own === undefined) throw new Error(`no node but ${others.length}`)
  onTestFinished(() => own.stop())
  const [host, guest] = [await sideOn(0, 'host'), await startSide(own.url, 'guest')]
  const file = randomBytes(12 * MIB + 17)
  const share = host.sharing.host()
  share.add([fileOf('file.bin', file, 50)])
  const session = await join(guest, share)
  await acceptAll(session)
  await untilBytes(session, MIB)
  await own.kill()
  expect(await received(session)).toEqual([sha256(file)])
})

test('[FT59] a transfer goes on over a new channel after its path was lost', async () => {
  const connections: RTCPeerConnection[] = []
  class Captured extends RTCPeerConnection {
    constructor(configuration?: RTCConfiguration) {
      super(configuration)
      connections.push(this)
    }
  }
  const host = await sideOn(0, 'host')
  const guest = await sideOn(1, 'guest', { p2p: { RTCPeerConnection: Captured }, sharing: { channels: 2 } })
  const file = randomBytes(16 * MIB + 17)
  const share = host.sharing.host()
  share.add([fileOf('file.bin', file, 50)])
  const session = await join(guest, share)
  await acceptAll(session)
  await untilBytes(session, 2 * MIB)
  // Without a goodbye, this counts as a lost path.
  for (const connection of connections.splice(0)) connection.close()
  await untilState(session, { name: 'reconnecting' })
  expect(await received(session)).toEqual([sha256(file)])
  expect(session.state).toMatchObject({ name: 'open', path: 'direct' })
})

test('[FT53] a guest that is started anew goes on with what its store has, and replaces its old session', async () => {
  const host = await sideOn(0, 'host')
  const store = new KeepingStore()
  const secret = 's'.repeat(30)
  const name = 'guest-anew'
  const before = await sideOn(1, 'guest', { store, secret, name })
  const file = randomBytes(16 * MIB + 17)
  const share = host.sharing.host()
  share.add([fileOf('file.bin', file, 50)])
  const first = await join(before, share)
  await acceptAll(first)
  await untilBytes(first, 4 * MIB)
  // The peer keeps its name, as after a reload.
  before.peer.close()
  await untilState(first, { name: 'ended', why: 'self-closed' })
  const guest = await sideOn(0, 'guest', { store, secret, name })
  const session = await join(guest, share)
  await acceptAll(session)
  expect(await received(session)).toEqual([sha256(file)])
  expect(store.puts).toBeLessThanOrEqual(17 + 1)
  expect(share.sessions.filter(({ state }) => state.name === 'open')).toHaveLength(1)
})

test('[FT64] a host that is started anew with what it saved goes on, and the guest finds it by itself', async () => {
  const secret = 'h'.repeat(30)
  const name = 'host-anew'
  const before = await sideOn(0, 'host', { secret, name })
  const guest = await sideOn(1, 'guest')
  const file = fileOf('file.bin', randomBytes(16 * MIB + 17), 50)
  const share = before.sharing.host({ isOneTime: true })
  share.add([file])
  const session = await join(guest, share)
  await acceptAll(session)
  await untilBytes(session, 4 * MIB)
  const saved = share.save()
  before.peer.close()
  await untilState(session, { name: 'reconnecting' })
  const host = await sideOn(1, 'host', { secret, name })
  const again = host.sharing.host({ saved })
  expect([again.state, again.isOneTime, again.files.map(({ source }) => source)]).toEqual([
    { name: 'taken' },
    true,
    [undefined],
  ])
  await untilState(session, { name: 'open' })
  await expect.poll(() => filesOf(session)[0]?.state.name, WAIT).toBe('paused')
  again.add([file])
  expect(again.files).toHaveLength(1)
  await received(session)
  expect(guest.store.puts).toBeLessThanOrEqual(17 + 1)
})
