import type { Peer, Room } from '@peerage/client'
import { connect } from '@peerage/client'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { RawPeer } from '../chaos/raw-peer.js'
import { startNode, startNodes, type Node } from '@peerage/test-support/node.js'
import { startTopology, topologies, type Deployment } from '@peerage/test-support/redis-topologies.js'

let redis: Deployment
let nodes: Node[]
const peers: Peer[] = []
const WAIT = { timeout: 15_000, interval: 20 }

afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.leave()))
})

async function peerOn(node: number, name: string): Promise<Peer> {
  const peer = await connect(nodes[node]?.url ?? '', { name, storage: null })
  peers.push(peer)
  return peer
}

/** The error if Redis did not answer within 800 ms, which a pause of the machine can cause among a thousand requests. */
const AGAIN = '"registry-unavailable"'

async function oneOfACrowd(node: number, name: string): Promise<RawPeer> {
  for (;;)
    try {
      return await RawPeer.open(nodes[node]?.url ?? '', name)
    } catch (error) {
      if (!String(error).includes(AGAIN)) throw error
    }
}

const standing = (room: Room): Record<string, string> =>
  Object.fromEntries(room.members.map(({ name, state }) => [name, state]))

describe.each(topologies)('rooms, %s', (topology) => {
  const [rounds, members] = topology === 'standalone' ? [100, 1_000] : [20, 200]

  beforeAll(async () => {
    redis = await startTopology(topology)
    nodes = await startNodes(2, { redisUrl: redis.url, args: ['--limits-node-connects-per-second', '0'] })
  })

  afterAll(async () => {
    await Promise.all((nodes ?? []).map((node) => node.stop()))
    await redis?.stop()
  })

  test('a message reaches every other member on any node, but not its sender', async () => {
    const [alice, bob, carol] = [await peerOn(0, 'alice'), await peerOn(1, 'bob'), await peerOn(0, 'carol')]
    const rooms = await Promise.all([alice, bob, carol].map((peer) => peer.join('hall')))
    const heard: string[][] = rooms.map((room, i) => {
      const mine: string[] = []
      room.on('message', (from, data) => mine.push(`${i}:${from}:${String(data)}`))
      return mine
    })
    await rooms[0]?.send('one')
    await rooms[0]?.send('two')
    await vi.waitFor(() => {
      expect(heard).toEqual([[], ['1:alice:one', '1:alice:two'], ['2:alice:one', '2:alice:two']])
    }, WAIT)
  })

  test(`[WR7] a join is answered when the member can be reached: a message right after it arrives, ${rounds} times`, async () => {
    const [alice, bob] = [await peerOn(0, 'alice'), await peerOn(1, 'bob')]
    for (let i = 0; i < rounds; i++) {
      const [here, there] = [await alice.join(`room-${i}`), await bob.join(`room-${i}`)]
      const heard = new Promise((resolve) => there.on('message', (_, data) => resolve(data)))
      await here.send(i)
      expect(await heard).toBe(i)
      await Promise.all([here.leave(), there.leave()])
    }
  })

  // The join was once answered with `registry-unavailable`, and the last of three joins left the peer outside.
  test('[WR7] requests for one room that come at once are answered as if each had waited for the one before', async () => {
    const raw = await RawPeer.open(nodes[0]?.url ?? '', 'hasty')
    const bob = await peerOn(1, 'bob')
    const answers = new Map<number, string>()
    raw.ws.on('message', (data: Buffer) => {
      const [type, fields] = JSON.parse(/\[.*$/su.exec(data.toString())?.[0] ?? '[]')
      if (fields?.id !== undefined) answers.set(fields.id, fields.code ?? type)
    })
    for (let i = 0; i < 20; i++) {
      raw.send('join', { id: 5 * i, room: `hall-${i}` })
      raw.send('part', { id: 5 * i + 1, room: `hall-${i}` })
      raw.send('join', { id: 5 * i + 2, room: `hall-${i}` })
      raw.send('watch', { id: 5 * i + 3, names: [`nobody-${i}`] })
      raw.send('unwatch', { names: [`nobody-${i}`] })
      raw.send('watch', { id: 5 * i + 4, names: [`nobody-${i}`] })
      await vi.waitFor(() => expect(answers.size).toBe(5 * i + 5), WAIT)
    }
    const types = [...answers].toSorted(([a], [b]) => a - b).map(([, type]) => type)
    expect(types).toEqual(
      Array.from({ length: 20 }, () => ['roomed', 'done', 'roomed', 'found', 'found']).flat(),
    )
    for (let i = 0; i < 20; i++)
      expect(standing(await bob.join(`hall-${i}`))).toMatchObject({ hasty: 'online' })
    raw.end()
  })

  test('members see each other come, go away, come back and leave', async () => {
    const [alice, bob] = [await peerOn(0, 'alice'), await peerOn(1, 'bob')]
    const room = await alice.join('hall')
    const changes: string[] = []
    room.on('member', ({ name, state }) => changes.push(`${name} ${state}`))
    await bob.join('hall')
    await vi.waitFor(() => expect(changes).toEqual(['bob joined']), WAIT)
    expect(standing(room)).toEqual({ alice: 'online', bob: 'online' })
    const other = await RawPeer.open(nodes[1]?.url ?? '', 'dora')
    other.send('join', { id: 1, room: 'hall' })
    await vi.waitFor(() => expect(changes).toContain('dora joined'), WAIT)
    other.end()
    await vi.waitFor(() => expect(changes).toContain('dora away'), WAIT)
    expect(standing(room)).toMatchObject({ dora: 'away' })
    const back = await RawPeer.open(nodes[0]?.url ?? '', 'dora')
    back.send('join', { id: 1, room: 'hall' })
    await vi.waitFor(() => expect(standing(room)).toMatchObject({ dora: 'online' }), WAIT)
    back.send('leave', {})
    await bob.leave()
    await vi.waitFor(() => expect(standing(room)).toEqual({ alice: 'online' }), WAIT)
    expect(changes.filter((one) => one.endsWith('left')).toSorted()).toEqual(['bob left', 'dora left'])
  })

  test('after its node has died a peer is back in its rooms and knows who joined meanwhile', async () => {
    const extra = await startNode({ redisUrl: redis.url })
    const alice = await connect(extra.url, { name: 'alice', storage: null })
    peers.push(alice)
    const room = await alice.join('hall')
    const bob = await peerOn(1, 'bob')
    // Another node takes over its address, as behind a balancer.
    await extra.kill()
    const bobs = await bob.join('hall')
    const again = await startNode({ redisUrl: redis.url, args: ['--port', String(extra.port)] })
    try {
      await vi.waitFor(() => expect(standing(room)).toMatchObject({ bob: 'online' }), WAIT)
      const heard = new Promise((resolve) => room.on('message', (_, data) => resolve(data)))
      await vi.waitFor(() => expect(standing(bobs)).toMatchObject({ alice: 'online' }), WAIT)
      await bobs.send('welcome back')
      expect(await heard).toBe('welcome back')
      await alice.leave()
    } finally {
      await again.stop()
      await extra.stop()
    }
  })

  test('[WR8] bad input gets typed errors, and the room still works', async () => {
    const alice = await peerOn(0, 'alice')
    await expect(alice.join('')).rejects.toMatchObject({ code: 'bad-name' })
    await expect(alice.join('a\u0000b')).rejects.toMatchObject({ code: 'bad-name' })
    await expect(alice.join('x'.repeat(129))).rejects.toMatchObject({ code: 'bad-name' })
    const room = await alice.join('hall')
    await alice.join('hall')
    expect(standing(room)).toEqual({ alice: 'online' })
    await expect(room.send('x'.repeat(60_000))).rejects.toMatchObject({ code: 'too-large' })
    const raw = await RawPeer.open(nodes[0]?.url ?? '', 'raw')
    const errors: unknown[] = []
    raw.ws.on('message', (data: Buffer) => {
      const text = data.toString()
      if (text.startsWith('42["error"')) errors.push(JSON.parse(text.slice(2))[1])
    })
    raw.send('part', { id: 1, room: 'never-joined' })
    raw.send('say', { id: 2, room: 'hall', body: '"x"' })
    raw.send('members', { id: 3, room: 'hall' })
    raw.send('join', { id: 4, room: '' })
    for (let i = 0; i < 65; i++) raw.send('join', { id: 10 + i, room: `many-${i}` })
    await vi.waitFor(() => expect(errors).toHaveLength(5), WAIT)
    const codes = errors.map((error) => JSON.stringify(error, ['code', 'id'])).toSorted()
    expect(codes).toEqual([
      '{"code":"bad-name","id":4}',
      '{"code":"forbidden","id":1}',
      '{"code":"forbidden","id":2}',
      '{"code":"forbidden","id":3}',
      '{"code":"too-many","id":74}',
    ])
    raw.end()
  })

  test(`${members} members in one room are all listed and all reached`, async () => {
    const crowd: RawPeer[] = []
    for (let i = 0; i < members; i += 100)
      crowd.push(
        ...(await Promise.all(Array.from({ length: 100 }, (_, j) => oneOfACrowd((i + j) % 2, `m-${i + j}`)))),
      )
    let heard = 0
    const enter = (peer: RawPeer): void => peer.send('join', { id: 1, room: 'stadium' })
    const joined = crowd.map(
      (peer) =>
        new Promise<void>((resolve) => {
          peer.ws.on('message', (data: Buffer) => {
            const text = data.toString()
            if (text.startsWith('42["roomed"')) resolve()
            if (text.startsWith('42["error"') && text.includes(AGAIN)) enter(peer)
            if (text.startsWith('42["said"')) heard++
          })
        }),
    )
    for (const peer of crowd) enter(peer)
    await Promise.all(joined)
    const alice = await peerOn(0, 'alice')
    const room = await alice.join('stadium')
    expect(room.members).toHaveLength(members + 1)
    await room.send('goal')
    await vi.waitFor(() => expect(heard).toBe(members), { timeout: 20_000 })
    for (const peer of crowd) peer.end()
  }, 120_000)

  test('a mesh has a channel to every member, also after members come and go', async () => {
    const [alice, bob, carol] = [await peerOn(0, 'alice'), await peerOn(1, 'bob'), await peerOn(0, 'carol')]
    const meshes = await Promise.all([alice, bob, carol].map((peer) => peer.mesh('table')))
    const ends = (): string[][] => meshes.map((mesh) => [...mesh.channels.keys()].toSorted())
    await vi.waitFor(
      () =>
        expect(ends()).toEqual([
          ['bob', 'carol'],
          ['alice', 'carol'],
          ['alice', 'bob'],
        ]),
      WAIT,
    )
    const heard: string[] = []
    for (const mesh of meshes) mesh.on('message', (from, data) => heard.push(`${from}:${String(data)}`))
    await meshes[0]?.send('hello')
    await vi.waitFor(() => expect(heard).toEqual(['alice:hello', 'alice:hello']), WAIT)
    await carol.leave()
    await vi.waitFor(() => expect(ends().slice(0, 2)).toEqual([['bob'], ['alice']]), WAIT)
    const dora = await peerOn(1, 'dora')
    await dora.mesh('table')
    await vi.waitFor(
      () =>
        expect(ends().slice(0, 2)).toEqual([
          ['bob', 'dora'],
          ['alice', 'dora'],
        ]),
      WAIT,
    )
  })
})
