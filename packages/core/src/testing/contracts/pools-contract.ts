import type { RoomId } from '@peerage/protocol'
import { parseApp, parseConnectionId, parseNodeId, parseRoom, roomIdOf } from '@peerage/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PoolMember, PoolRegistry } from '../../pools/registry.js'
import type { Given, MakeCluster } from '../cluster.js'
import { patient, quick } from '../cluster.js'

export function poolNamed(text: string): RoomId {
  const [app, room] = [parseApp('default'), parseRoom(text)]
  if (!app.ok || !room.ok) throw new Error(`${text} is not a pool`)
  return roomIdOf(app.value, room.value, 'webtorrent')
}

/** A member at `place`: a node and a connection, as in `node-001 7`. */
export function poolMember(id: string, place = 'node-001 1', marked = false): PoolMember {
  const [nodeText, connectionText] = place.split(' ')
  const [node, connection] = [parseNodeId(nodeText), parseConnectionId(connectionText)]
  if (!node.ok || !connection.ok) throw new Error(`${place} is not a place`)
  return { id, node: node.value, connection: connection.value, marked }
}

/** The contract of `PoolRegistry`, for every implementation. */
export function poolsContract(store: string, makeCluster: MakeCluster): void {
  const TTL_MS = 60_000
  const options = { ttlMs: TTL_MS, draw: 0, most: 100 }

  describe(`pools on ${store}`, () => {
    let given: Given
    let pools: PoolRegistry
    let others: PoolRegistry
    const pool = poolNamed('swarm')
    const enter = async (member: PoolMember, draw = 0): ReturnType<PoolRegistry['enter']> =>
      pools.enter(pool, member, { ...options, draw })
    const idsIn = async (): Promise<string[]> => {
      const asker = poolMember('asker', 'node-009 9')
      const entered = await pools.enter(pool, asker, { ...options, draw: 100 })
      await pools.leave(pool, asker)
      return entered === 'full' ? [] : entered.drawn.map(({ id }) => id).toSorted()
    }
    beforeEach(async () => {
      const cluster = await makeCluster(patient)
      given = { cluster, a: await cluster.join(), b: await cluster.join() }
      pools = given.a.backend.pools
      others = given.b.backend.pools
    })
    afterEach(() => given.cluster.stop())

    test('a member counts once, however often it enters, until it leaves', async () => {
      const alice = poolMember('alice')
      expect(await enter(alice)).toMatchObject({ drawn: [], size: { members: 1, marked: 0 } })
      expect(await enter(alice)).toMatchObject({ size: { members: 1, marked: 0 } })
      expect(await others.sizes([pool, poolNamed('empty')])).toEqual([
        { members: 1, marked: 0 },
        { members: 0, marked: 0 },
      ])
      expect(await others.leave(pool, alice)).toEqual({ left: true, size: { members: 0, marked: 0 } })
      expect(await others.leave(pool, alice)).toEqual({ left: false, size: { members: 0, marked: 0 } })
    })

    test('marked members are counted apart, and a member keeps its mark until it leaves', async () => {
      await enter(poolMember('alice', 'node-001 1', true))
      expect(await enter(poolMember('bob', 'node-001 2'))).toMatchObject({ size: { members: 2, marked: 1 } })
      expect(await enter(poolMember('bob', 'node-001 2', true))).toMatchObject({ marked: true })
      expect(await pools.sizes([pool])).toEqual([{ members: 2, marked: 2 }])
      expect(await enter(poolMember('alice'))).toMatchObject({
        marked: true,
        size: { members: 2, marked: 2 },
      })
      await pools.leave(pool, poolMember('alice'))
      expect(await enter(poolMember('alice'))).toMatchObject({
        marked: false,
        size: { members: 2, marked: 1 },
      })
      expect(await others.find(pool, 'bob')).toEqual(poolMember('bob', 'node-001 2', true))
      expect(await pools.leave(pool, poolMember('bob', 'node-001 2'))).toEqual({
        left: true,
        size: { members: 1, marked: 0 },
      })
    })

    test('a mark goes with its member to another connection, and keep does not remove it', async () => {
      await enter(poolMember('alice', 'node-001 1', true))
      const later = poolMember('alice', 'node-002 1')
      const entered = await others.enter(pool, later, options)
      if (entered === 'full') throw new Error('the pool is not full')
      expect(entered).toMatchObject({ marked: true, size: { members: 1, marked: 1 } })
      await others.keep(pool, [{ ...later, since: entered.since, ttlMs: TTL_MS }])
      expect(await pools.find(pool, 'alice')).toEqual({ ...later, marked: true })
      expect(await pools.sizes([pool])).toEqual([{ members: 1, marked: 1 }])
    })

    test('a draw has others, each once, and all of them if there are no more', async () => {
      const all = ['a', 'b', 'c', 'd', 'e'].map((id, i) => poolMember(id, `node-00${1 + (i % 2)} ${i}`))
      for (const member of all) await enter(member)
      const entered = await enter(poolMember('a', 'node-001 0'), 10)
      if (entered === 'full') throw new Error('the pool is not full')
      expect(entered.drawn.toSorted((x, y) => (x.id < y.id ? -1 : 1))).toEqual(all.slice(1))
      const some = await enter(poolMember('a', 'node-001 0'), 2)
      if (some === 'full') throw new Error('the pool is not full')
      expect(new Set(some.drawn.map(({ id }) => id)).size).toBe(2)
      expect(some.drawn.map(({ id }) => id)).not.toContain('a')
    })

    test('in many draws every member is drawn', async () => {
      const ids = Array.from({ length: 20 }, (_, i) => `m${i}`)
      for (const [i, id] of ids.entries()) await enter(poolMember(id, `node-001 ${i}`))
      const seen = new Set<string>()
      // The chance that one of the twenty is missed by 200 draws of five is below 1e-23.
      for (let i = 0; i < 200; i++) {
        const entered = await enter(poolMember('me', 'node-001 99'), 5)
        if (entered !== 'full') for (const { id } of entered.drawn) seen.add(id)
      }
      expect([...seen].toSorted()).toEqual(ids.toSorted())
    })

    test('a full pool refuses a new member, but not a known one', async () => {
      for (const id of ['a', 'b']) await pools.enter(pool, poolMember(id), { ...options, most: 2 })
      expect(await pools.enter(pool, poolMember('c'), { ...options, most: 2 })).toBe('full')
      expect(await pools.enter(pool, poolMember('b'), { ...options, most: 2 })).toMatchObject({
        size: { members: 2 },
      })
    })

    test('the last connection that entered with an id has it', async () => {
      const [former, later] = [poolMember('alice', 'node-001 1'), poolMember('alice', 'node-002 1')]
      await enter(former)
      const { node, connection } = former
      expect(await others.enter(pool, later, options)).toMatchObject({
        size: { members: 1, marked: 0 },
        former: { node, connection },
        marked: false,
      })
      expect(await others.enter(pool, later, options)).not.toHaveProperty('former')
      expect(await pools.leave(pool, former)).toEqual({ left: false, size: { members: 1, marked: 0 } })
      expect(await pools.find(pool, 'alice')).toEqual(later)
      // A place that only begins like another is another one.
      await enter(poolMember('bob', 'node-001 12'))
      expect(await pools.leave(pool, poolMember('bob', 'node-001 1'))).toMatchObject({ left: false })
    })

    test('keep writes memberships back after a flush, and their marks', async () => {
      const [alice, bob] = [poolMember('alice'), poolMember('bob', 'node-001 2', true)]
      const since = (await enter(alice)) === 'full' ? 0 : 1
      await enter(bob)
      await given.cluster.flush()
      expect(await idsIn()).toEqual([])
      await pools.keep(pool, [
        { ...alice, since, ttlMs: TTL_MS },
        { ...bob, since, ttlMs: TTL_MS },
      ])
      expect(await idsIn()).toEqual(['alice', 'bob'])
      expect(await others.sizes([pool])).toEqual([{ members: 2, marked: 1 }])
      expect(await others.find(pool, 'bob')).toEqual(bob)
    })

    test('keep leaves a member alone that has moved, before a flush and after it', async () => {
      const [former, later] = [poolMember('alice', 'node-001 1'), poolMember('alice', 'node-002 7')]
      const first = await enter(former)
      const second = await others.enter(pool, later, options)
      if (first === 'full' || second === 'full') throw new Error('the pool is not full')
      expect(second.since).toBeGreaterThan(first.since)
      const late = [{ ...former, since: first.since, ttlMs: TTL_MS }]
      await pools.keep(pool, late)
      expect(await pools.find(pool, 'alice')).toEqual(later)
      await given.cluster.flush()
      await pools.keep(pool, late)
      await others.keep(pool, [{ ...later, since: second.since, ttlMs: TTL_MS }])
      expect(await pools.find(pool, 'alice')).toEqual(later)
    })

    test('[I7] keep moves a membership to the new NodeId of its node', async () => {
      const entered = await enter(poolMember('alice', 'node-001 5'))
      if (entered === 'full') throw new Error('the pool is not full')
      const moved = poolMember('alice', 'node-002 5')
      await pools.keep(pool, [{ ...moved, since: entered.since, ttlMs: TTL_MS }])
      expect(await others.find(pool, 'alice')).toEqual(moved)
    })

    test('nobody is found in an empty pool, or under another id', async () => {
      expect(await pools.find(pool, 'alice')).toBeUndefined()
      await enter(poolMember('alice'))
      expect(await pools.find(pool, 'bob')).toBeUndefined()
    })
  })

  describe(`pool memberships that end on ${store}`, () => {
    test('[I16] a membership ends by itself, is neither drawn nor counted, and leaves nothing behind', async () => {
      const cluster = await makeCluster(quick)
      try {
        const { pools } = (await cluster.join()).backend
        const pool = poolNamed('swarm')
        await pools.enter(pool, poolMember('alice', 'node-001 1', true), { ...options, ttlMs: 300 })
        await pools.enter(pool, poolMember('bob', 'node-001 2'), options)
        await pools.enter(pool, poolMember('carol', 'node-001 3'), { ...options, ttlMs: 300 })
        await pools.enter(pool, poolMember('carol', 'node-001 3'), options)
        await cluster.pass(600)
        const asked = await pools.enter(pool, poolMember('dora', 'node-001 4'), { ...options, draw: 10 })
        if (asked === 'full') throw new Error('the pool is not full')
        expect(asked.drawn.map(({ id }) => id).toSorted()).toEqual(['bob', 'carol'])
        expect(asked.size).toEqual({ members: 3, marked: 0 })
        expect(await pools.find(pool, 'alice')).toBeUndefined()
        expect(await pools.enter(pool, poolMember('alice', 'node-001 1'), options)).toMatchObject({
          marked: false,
        })
        // A renewal may also end a membership earlier.
        for (const [i, id] of ['alice', 'bob', 'carol', 'dora'].entries())
          await pools.enter(pool, poolMember(id, `node-001 ${i + 1}`), { ...options, ttlMs: 300 })
        await cluster.pass(600)
        expect(await pools.sizes([pool])).toEqual([{ members: 0, marked: 0 }])
      } finally {
        await cluster.stop()
      }
    })
  })
}
