import type { Membership } from '../../rooms/registry.js'
import type { RoomId } from '@peerage/protocol'
import { parseApp, parseName, parseNodeId, parseRoom, roomIdOf } from '@peerage/protocol'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ContractNode, Given, MakeCluster } from '../cluster.js'
import { patient, quick } from '../cluster.js'

export function roomNamed(text: string): RoomId {
  const [app, room] = [parseApp('default'), parseRoom(text)]
  if (!app.ok || !room.ok) throw new Error(`${text} is not a room`)
  return roomIdOf(app.value, room.value)
}

function member(text: string, since = 1, state: Membership['state'] = 'online'): Membership {
  const [name, node] = [parseName(text), parseNodeId('node-001')]
  if (!name.ok || !node.ok) throw new Error(`${text} is not a name`)
  return { name: name.value, since, node: node.value, state }
}

const namesIn = async (node: ContractNode, room: RoomId): Promise<string[]> =>
  (await node.backend.rooms.list(room, undefined, 100)).members.map(({ name }) => name)

/** The contract of `RoomRegistry`, for every implementation. */
export function roomsContract(store: string, makeCluster: MakeCluster): void {
  describe(`rooms on ${store}`, () => {
    let given: Given
    const TTL_MS = 60_000
    beforeEach(async () => {
      const cluster = await makeCluster(patient)
      given = { cluster, a: await cluster.join(), b: await cluster.join() }
    })
    afterEach(() => given.cluster.stop())

    test('all nodes see a member once, however often it joins, until it leaves', async () => {
      const { a, b } = given
      const room = roomNamed('hall')
      expect(await a.backend.rooms.join(room, member('alice'), TTL_MS, 10)).toBe('joined')
      expect(await a.backend.rooms.join(room, member('alice'), TTL_MS, 10)).toBe('known')
      expect(await b.backend.rooms.list(room, undefined, 10)).toEqual({
        members: [member('alice')],
        more: false,
      })
      expect(await b.backend.rooms.size(room)).toBe(1)
      expect(await b.backend.rooms.part(room, member('alice'))).toBe(true)
      expect(await b.backend.rooms.part(room, member('alice'))).toBe(false)
      expect(await namesIn(a, room)).toEqual([])
      expect(await b.backend.rooms.size(room)).toBe(0)
    })

    test('another holder of the name is another member, and leaves separately', async () => {
      const { a } = given
      const room = roomNamed('hall')
      await a.backend.rooms.join(room, member('alice', 1), TTL_MS, 10)
      await a.backend.rooms.join(room, member('alice', 2), TTL_MS, 10)
      await a.backend.rooms.part(room, member('alice', 1))
      expect((await a.backend.rooms.list(room, undefined, 10)).members).toEqual([member('alice', 2)])
    })

    test('a full room refuses a new member, but not a known one', async () => {
      const { a } = given
      const room = roomNamed('cell')
      for (const name of ['a', 'b'])
        expect(await a.backend.rooms.join(room, member(name), TTL_MS, 2)).toBe('joined')
      expect(await a.backend.rooms.join(room, member('c'), TTL_MS, 2)).toBe('full')
      expect(await a.backend.rooms.join(room, member('b'), TTL_MS, 2)).toBe('known')
    })

    test('pages are in the order of the names’ bytes, and no member is missed or doubled', async () => {
      const { a } = given
      const room = roomNamed('gallery')
      const names = ['a', 'a!', 'aa', 'B', 'Zoë', 'z', '名前', '🙂', '~', '"', 'a b']
      for (const name of names) await a.backend.rooms.join(room, member(name), TTL_MS, 100)
      const seen: string[] = []
      for (let after: Membership['name'] | undefined; ;) {
        const page = await a.backend.rooms.list(room, after, 3)
        expect(page.members.length).toBeLessThanOrEqual(3)
        seen.push(...page.members.map(({ name }) => name))
        after = page.members.at(-1)?.name
        if (!page.more) break
      }
      expect(seen).toEqual(names.toSorted((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y))))
    })

    test('a member that is away is listed as away until it is back', async () => {
      const { a, b } = given
      const room = roomNamed('hall')
      await a.backend.rooms.join(room, member('alice'), TTL_MS, 10)
      const { node } = member('alice')
      expect(await a.backend.rooms.away(room, member('alice'), node, TTL_MS)).toBe(true)
      expect((await b.backend.rooms.list(room, undefined, 10)).members).toEqual([member('alice', 1, 'away')])
      await b.backend.rooms.join(room, member('alice'), TTL_MS, 10)
      expect((await a.backend.rooms.list(room, undefined, 10)).members).toEqual([member('alice')])
    })

    test('the end of a membership is known: of a member, of one that is away, and of nobody', async () => {
      const { a, b } = given
      const room = roomNamed('hall')
      await a.backend.rooms.join(room, member('alice'), TTL_MS, 10)
      await a.backend.rooms.join(room, member('bob'), TTL_MS, 10)
      await a.backend.rooms.away(room, member('bob'), member('bob').node, 30_000)
      const asked = [member('alice'), member('bob'), member('alice', 2), member('carol')]
      const [alice, bob, ...others] = await b.backend.rooms.endsIn(room, asked)
      expect(alice).toBeGreaterThan(TTL_MS - 10_000)
      expect(alice).toBeLessThanOrEqual(TTL_MS + 1)
      expect(bob).toBeGreaterThan(20_000)
      expect(bob).toBeLessThanOrEqual(30_001)
      expect(others).toEqual([0, 0])
      expect(await b.backend.rooms.endsIn(roomNamed('empty'), [member('alice')])).toEqual([0])
    })

    test('[WR7] away does nothing for a member that is on another node or has left', async () => {
      const { a } = given
      const room = roomNamed('hall')
      const [before, now] = [parseNodeId('node-001'), parseNodeId('node-002')]
      if (!before.ok || !now.ok) throw new Error('these are not node ids')
      const moved = { ...member('alice'), node: now.value }
      await a.backend.rooms.join(room, member('alice'), TTL_MS, 10)
      await a.backend.rooms.join(room, moved, TTL_MS, 10)
      expect(await a.backend.rooms.away(room, moved, before.value, TTL_MS)).toBe(false)
      expect((await a.backend.rooms.list(room, undefined, 10)).members).toEqual([moved])
      await a.backend.rooms.part(room, moved)
      expect(await a.backend.rooms.away(room, moved, now.value, TTL_MS)).toBe(false)
      expect(await namesIn(a, room)).toEqual([])
    })

    test('keep writes memberships back after a flush', async () => {
      const { a, cluster } = given
      const room = roomNamed('hall')
      await a.backend.rooms.join(room, member('alice'), TTL_MS, 10)
      await cluster.flush()
      expect(await namesIn(a, room)).toEqual([])
      await a.backend.rooms.keep(room, [member('alice')], TTL_MS)
      expect(await namesIn(a, room)).toEqual(['alice'])
    })

    test('a publish reaches every subscribed node, the publisher too, in order', async () => {
      const { a, b } = given
      const room = roomNamed('hall')
      const heard: Record<string, string[]> = { a: [], b: [] }
      await a.backend.rooms.subscribe(room, (text) => heard['a']?.push(text))
      await b.backend.rooms.subscribe(room, (text) => heard['b']?.push(text))
      for (let i = 0; i < 20; i++) expect(await a.backend.rooms.publish(room, `said ${i}`)).toBe('sent')
      const all = Array.from({ length: 20 }, (_, i) => `said ${i}`)
      await vi.waitFor(() => expect(heard).toEqual({ a: all, b: all }), { timeout: 5_000 })
      b.backend.rooms.unsubscribe(room)
      await a.backend.rooms.publish(room, 'later')
      await vi.waitFor(() => expect(heard['a']).toHaveLength(21), { timeout: 5_000 })
      expect(heard['b']).toHaveLength(20)
    })
  })

  describe(`memberships that end on ${store}`, () => {
    test('[I16] a membership ends by itself, and leaves nothing behind', async () => {
      const cluster = await makeCluster(quick)
      try {
        const a = await cluster.join()
        const room = roomNamed('hall')
        await a.backend.rooms.join(room, member('alice'), 300, 10)
        await a.backend.rooms.join(room, member('bob'), 60_000, 10)
        await cluster.pass(600)
        expect(await namesIn(a, room)).toEqual(['bob'])
        await a.backend.rooms.keep(room, [member('bob')], 300)
        await cluster.pass(600)
        expect(await namesIn(a, room)).toEqual([])
      } finally {
        await cluster.stop()
      }
    })
  })
}
