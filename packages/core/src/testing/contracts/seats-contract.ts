import type { Name, NodeId } from '@peerage/protocol'
import { parseName, parseNodeId } from '@peerage/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Seat, SeatRegistry } from '../../rooms/seat-registry.js'
import type { Given, MakeCluster } from '../cluster.js'
import { patient, quick } from '../cluster.js'
import { roomNamed } from './rooms-contract.js'

function nodeNamed(text: string): NodeId {
  const node = parseNodeId(text)
  if (!node.ok) throw new Error(node.problem)
  return node.value
}

function nameOf(text: string): Name {
  const name = parseName(text)
  if (!name.ok) throw new Error(name.problem)
  return name.value
}

let groups = 0

/** The contract of `SeatRegistry`, for every implementation. */
export function seatsContract(store: string, makeCluster: MakeCluster): void {
  const room = roomNamed('arena')
  const here = nodeNamed('node-001')
  const seatOf = (name: string, more: Partial<Seat> = {}): Seat => ({
    name: nameOf(name),
    node: here,
    seats: 2,
    ttlMs: 60_000,
    ...more,
  })
  const taking = (
    name: string,
    more: Partial<Seat> = {},
    dead: readonly NodeId[] = [],
  ): Parameters<SeatRegistry['seat']>[1] => ({ ...seatOf(name, more), fresh: `fresh-${groups++}`, dead })

  describe(`seats on ${store}`, () => {
    let given: Given
    let seats: SeatRegistry
    let others: SeatRegistry
    beforeEach(async () => {
      const cluster = await makeCluster(patient)
      given = { cluster, a: await cluster.join(), b: await cluster.join() }
      seats = given.a.backend.seats
      others = given.b.backend.seats
    })
    afterEach(() => given.cluster.stop())

    /** Takes a seat, and confirms it. */
    const joining = async (
      registry: SeatRegistry,
      name: string,
      more: Partial<Seat> = {},
    ): Promise<string> => {
      const group = await registry.seat(room, taking(name, more))
      expect(await registry.keep(room, { ...seatOf(name, more), group, loss: 'nothing' })).not.toBe('gone')
      return group
    }

    test('members sit down in one group until it is full, and the next one begins another', async () => {
      const first = await seats.seat(room, taking('a', { seats: 3 }))
      expect(await others.seat(room, taking('b', { seats: 3 }))).toBe(first)
      expect(await seats.seat(room, taking('c', { seats: 3 }))).toBe(first)
      expect(await others.seat(room, taking('d', { seats: 3 }))).not.toBe(first)
    })

    test('each of many that come at once has exactly one partner', async () => {
      const names = Array.from({ length: 40 }, (_, i) => `p${i}`)
      const taken = await Promise.all(names.map((name, i) => joining(i % 2 === 0 ? seats : others, name)))
      const sizes = new Map<string, number>()
      for (const group of taken) sizes.set(group, (sizes.get(group) ?? 0) + 1)
      expect([...sizes.values()]).toEqual(Array.from({ length: 20 }, () => 2))
    })

    test('rooms and sizes have groups of their own', async () => {
      const group = await seats.seat(room, taking('a'))
      expect(await seats.seat(roomNamed('other'), taking('b'))).not.toBe(group)
      expect(await seats.seat(room, taking('b', { seats: 3 }))).not.toBe(group)
      expect(await seats.seat(room, taking('c'))).toBe(group)
    })

    test('a member that has a seat gets the same group, and no second seat', async () => {
      const group = await seats.seat(room, taking('a'))
      expect(await others.seat(room, taking('a'))).toBe(group)
      expect(await others.seat(room, taking('b'))).toBe(group)
      expect(await others.seat(room, taking('c'))).not.toBe(group)
    })

    test('a seat that is given back is free, and a group without members is forgotten', async () => {
      const group = await seats.seat(room, taking('a', { seats: 3 }))
      await seats.seat(room, taking('b', { seats: 3 }))
      await others.unseat(room, seatOf('a', { seats: 3 }))
      expect(await seats.seat(room, taking('c', { seats: 3 }))).toBe(group)
      await others.unseat(room, seatOf('b', { seats: 3 }))
      await others.unseat(room, seatOf('c', { seats: 3 }))
      await others.unseat(room, seatOf('c', { seats: 3 }))
      expect(await seats.seat(room, taking('d', { seats: 3 }))).not.toBe(group)
    })

    test('the seats of dead nodes are free, also in a full group that has not met', async () => {
      const there = nodeNamed('node-002')
      const group = await others.seat(room, taking('a', { node: there, seats: 3 }))
      await others.seat(room, taking('b', { node: there, seats: 3 }))
      const begun = await seats.seat(room, taking('c', { seats: 3 }, [there]))
      expect(begun).not.toBe(group)
      expect(await seats.seat(room, taking('d', { seats: 3 }))).toBe(begun)
      expect(await others.seat(room, taking('e', { node: there, seats: 3 }))).toBe(begun)
      expect(await seats.seat(room, taking('f', { seats: 3 }, [there]))).toBe(begun)
    })

    test('a seat of a full group can be given back until all members have confirmed theirs', async () => {
      const group = await joining(seats, 'a')
      expect(await others.seat(room, taking('b'))).toBe(group)
      await others.unseat(room, seatOf('b'))
      expect(await others.seat(room, taking('c'))).toBe(group)
      await others.unseat(room, seatOf('a'))
      expect(await others.seat(room, taking('d'))).toBe(group)
      expect(await seats.keep(room, { ...seatOf('c'), group, loss: 'nothing' })).toBe('waiting')
      expect(await seats.keep(room, { ...seatOf('d'), group, loss: 'nothing' })).toBe('met')
      await seats.unseat(room, seatOf('d'))
      expect(await others.seat(room, taking('e'))).not.toBe(group)
    })

    test('keep says when a group has met, and does not open it again', async () => {
      const group = await seats.seat(room, taking('a'))
      expect(await seats.keep(room, { ...seatOf('a'), group, loss: 'nothing' })).toBe('waiting')
      await others.seat(room, taking('b'))
      expect(await seats.keep(room, { ...seatOf('a'), group, loss: 'nothing' })).toBe('waiting')
      expect(await others.keep(room, { ...seatOf('b'), group, loss: 'nothing' })).toBe('met')
      expect(await seats.keep(room, { ...seatOf('a'), group, loss: 'nothing' })).toBe('gone')
      expect(await others.seat(room, taking('c'))).not.toBe(group)
    })

    test('keep writes a waiting group back after a flush', async () => {
      const group = await seats.seat(room, taking('a', { seats: 3 }))
      await others.seat(room, taking('b', { seats: 3 }))
      await given.cluster.flush()
      expect(await seats.keep(room, { ...seatOf('a', { seats: 3 }), group, loss: 'nothing' })).toBe('gone')
      const newcomer = await seats.seat(room, taking('c', { seats: 3 }))
      expect(await seats.keep(room, { ...seatOf('a', { seats: 3 }), group, loss: 'group' })).toBe('waiting')
      expect(await others.keep(room, { ...seatOf('b', { seats: 3 }), group, loss: 'group' })).toBe('waiting')
      // The group with the fewest free seats is filled first.
      expect(await seats.seat(room, taking('d', { seats: 3 }))).toBe(group)
      expect(await seats.seat(room, taking('e', { seats: 3 }))).toBe(newcomer)
    })

    test('keep writes no lost seat back that another member has taken', async () => {
      const group = await joining(seats, 'a')
      await others.seat(room, taking('b'))
      await given.cluster.flush()
      expect(await others.keep(room, { ...seatOf('b'), group, loss: 'seat' })).toBe('gone')
      expect(await seats.keep(room, { ...seatOf('a'), group, loss: 'group' })).toBe('waiting')
      expect(await others.seat(room, taking('c'))).toBe(group)
      expect(await others.keep(room, { ...seatOf('b'), group, loss: 'seat' })).toBe('taken')
      expect(await others.keep(room, { ...seatOf('b'), group, loss: 'group' })).toBe('taken')
      expect(await others.keep(room, { ...seatOf('c'), group, loss: 'group' })).toBe('met')
    })

    test('keep writes a lost seat back into a group that the registry knows again', async () => {
      const group = await joining(seats, 'a')
      await others.seat(room, taking('b'))
      await given.cluster.flush()
      expect(await seats.keep(room, { ...seatOf('a'), group, loss: 'group' })).toBe('waiting')
      expect(await others.keep(room, { ...seatOf('b'), group, loss: 'seat' })).toBe('met')
    })
  })

  describe(`seats that end on ${store}`, () => {
    test('[I16] a seat ends by itself', async () => {
      const cluster = await makeCluster(quick)
      try {
        const { seats } = (await cluster.join()).backend
        const group = await seats.seat(room, taking('a', { ttlMs: 300 }))
        await seats.seat(room, taking('b'))
        await cluster.pass(600)
        expect(await seats.seat(room, taking('c'))).toBe(group)
      } finally {
        await cluster.stop()
      }
    })
  })
}
