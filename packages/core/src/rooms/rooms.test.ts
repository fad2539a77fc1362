import type { Room, RoomId } from '@peerage/protocol'
import { appOf, nameOf, parseRoom, roomIdOf, roomOf } from '@peerage/protocol'
import { expect, test, vi } from 'vitest'
import { defaultMailboxLimits } from '../routing/mailbox.js'
import { MemoryRooms } from '../memory/rooms.js'
import { MemorySeats } from '../memory/seats.js'
import { Store } from '../memory/store.js'
import { RegistryUnavailable } from '../names/registry.js'
import type { RoomRegistry } from './registry.js'
import { Rooms } from './rooms.js'
import { Roster } from './roster.js'
import { cutOff, two } from '../testing/nodes.js'
import type { Arrival } from '../testing/peers.js'
import { arrive, peerNamed } from '../testing/peers.js'
import { RENEW_ROUND_BEATS } from '../times.js'

/** Subscriptions and joins are asynchronous, as over Redis. A subscription that is cancelled is rejected. */
function slow(inner: RoomRegistry): { registry: RoomRegistry; steps: (() => void)[] } {
  const steps: (() => void)[] = []
  const refusals = new Map<RoomId, (error: Error) => void>()
  const registry: RoomRegistry = {
    join: async (...args) => {
      await new Promise<void>((resolve) => steps.push(resolve))
      return inner.join(...args)
    },
    part: (...args) => inner.part(...args),
    keep: (...args) => inner.keep(...args),
    away: (...args) => inner.away(...args),
    list: (...args) => inner.list(...args),
    endsIn: (...args) => inner.endsIn(...args),
    size: (room) => inner.size(room),
    subscribe: async (room, receive) => {
      const stands = new Promise<void>((resolve, reject) => {
        steps.push(resolve)
        refusals.set(room, reject)
      })
      await Promise.all([stands, inner.subscribe(room, receive)])
    },
    unsubscribe: (room) => {
      inner.unsubscribe(room)
      refusals.get(room)?.(new RegistryUnavailable('the subscription was cancelled'))
    },
    publish: (...args) => inner.publish(...args),
  }
  return { registry, steps }
}

function roomNamed(text: string): Room {
  const room = parseRoom(text)
  if (!room.ok) throw new Error(room.problem)
  return room.value
}

const hall = roomNamed('hall')

async function scene() {
  const { a, clock, times } = await two()
  const store = new Store(times, clock, defaultMailboxLimits)
  const { registry, steps } = slow(new MemoryRooms(store))
  const errors: unknown[] = []
  const rooms = new Rooms({
    heartbeat: { id: a.id, recovering: false },
    registry,
    seats: new MemorySeats(store),
    sessions: a.sessions,
    clock,
    nameTtlMs: times.nameTtlMs,
    graceMs: times.graceMs,
    nodes: { status: () => ({ state: 'live' }), list: () => [] },
    replaced: () => undefined,
    onError: (error) => errors.push(error),
  })
  const turn = (): Promise<void> => clock.advance(0)
  return {
    node: a,
    rooms,
    registry,
    errors,
    arrive: (name: string) => arrive(a, name),
    turn,
    /** Completes the next pending step. */
    step: async () => {
      steps.shift()?.()
      await turn()
    },
    members: async ({ session }: Arrival) =>
      (await rooms.list(session, hall)).members.map(({ name, state }) => `${name} ${state}`),
    changes: ({ connection }: Arrival) =>
      connection.sent.flatMap((message) =>
        message.type === 'changed' ? message.members.map(({ name, state }) => `${name} ${state}`) : [],
      ),
    clock,
  }
}

// Regression: such a join was answered with `registry-unavailable`, because the subscription was cancelled.
test('[WR7] a part before the subscription is active: the join is answered with parted', async () => {
  const { rooms, arrive: come, step, members, errors } = await scene()
  const alice = await come('alice')
  const joined = rooms.join(alice.session, hall)
  expect(await rooms.part(alice.session, hall)).toBe(true)
  expect(await joined).toBe('parted')
  expect(rooms.count).toBe(0)
  await step()
  expect(await members(alice)).toEqual([])
  expect(errors).toEqual([])
})

test('[WR7] a part before the registry has answered the join: the peer is not a member, and nobody is told of it', async () => {
  const { rooms, arrive: come, step, members, changes, clock } = await scene()
  const [alice, bob] = [await come('alice'), await come('bob')]
  const bobs = rooms.join(bob.session, hall)
  await step()
  await step()
  expect(await bobs).toBe('joined')
  const joined = rooms.join(alice.session, hall)
  await clock.advance(0)
  expect(await rooms.part(alice.session, hall)).toBe(true)
  await step()
  expect(await joined).toBe('parted')
  expect(await members(bob)).toEqual(['bob online'])
  await clock.advance(50)
  expect(changes(bob)).not.toContain('alice joined')
})

test.each(['left', 'dropped'] as const)(
  '[WR7] a connection that ends during its join (%s) is not a member, and no error is reported',
  async (how) => {
    const { rooms, arrive: come, step, members, errors } = await scene()
    const alice = await come('alice')
    const joined = rooms.join(alice.session, hall)
    await rooms.forget(alice.connection.id, how)
    expect(await joined).toBe('parted')
    await step()
    expect(await members(alice)).toEqual([])
    expect(errors).toEqual([])
  },
)

// Regression: the end of the first join removed the membership of the second one, which had been answered with
// `roomed`.
test('[WR7] join, part and join at once: the peer is a member', async () => {
  const { rooms, arrive: come, step, turn, members } = await scene()
  const alice = await come('alice')
  const first = rooms.join(alice.session, hall)
  const parted = rooms.part(alice.session, hall)
  const second = rooms.join(alice.session, hall)
  await turn()
  await step()
  await step()
  await step()
  expect([await first, await parted, await second]).toEqual(['parted', true, 'joined'])
  expect(rooms.has(alice.session, hall)).toBe(true)
  expect(await members(alice)).toEqual(['alice online'])
})

test('[WR7] the same before the registry has answered the first join: the second join keeps the membership', async () => {
  const { rooms, arrive: come, step, members } = await scene()
  const alice = await come('alice')
  const first = rooms.join(alice.session, hall)
  await step()
  expect(await rooms.part(alice.session, hall)).toBe(true)
  const second = rooms.join(alice.session, hall)
  // One step each: the registry call of the first join, and the subscription and the registry call of the second join.
  await step()
  await step()
  await step()
  expect([await first, await second]).toEqual(['parted', 'known'])
  expect(rooms.has(alice.session, hall)).toBe(true)
  expect(await members(alice)).toEqual(['alice online'])
})

/** Bob is a member, and the test publishes the changes of other nodes. */
async function inTheHall() {
  const made = await scene()
  const bob = await made.arrive('bob')
  const joined = made.rooms.join(bob.session, hall)
  await made.step()
  await made.step()
  await joined
  await made.clock.advance(50)
  bob.connection.sent.length = 0
  return {
    ...made,
    bob,
    tell: async (...changes: string[]) => {
      for (const change of changes)
        await made.registry.publish(roomIdOf(appOf(bob.session.peer), hall), change)
      await made.clock.advance(50)
    },
    heard: () =>
      bob.connection.sent.flatMap((message) =>
        message.type === 'changed'
          ? [message.members.map(({ name, since, state }) => `${name} ${since} ${state}`)]
          : [],
      ),
  }
}

test('[WC4] a peer that reads too slowly is told the latest change of each member when it reads again', async () => {
  const { bob, tell, heard, clock } = await inTheHall()
  const before = clock.pending
  bob.connection.full = true
  await tell('x.1 +1 alice', 'x.1 +1 carol', 'x.1 ~1 alice')
  await tell('x.1 +2 alice', 'x.1 -1 alice', 'x.1 -1 carol')
  await clock.advance(2_000)
  bob.connection.full = false
  await clock.advance(250)
  expect(heard()).toEqual([['alice 2 joined', 'carol 1 left']])
  await tell('x.1 -2 alice')
  expect(heard()).toHaveLength(2)
  expect(clock.pending).toBe(before)
})

test('[WC4] a slow peer is not told later what it missed in a room that it has left', async () => {
  const { rooms, bob, tell, heard, step, clock } = await inTheHall()
  bob.connection.full = true
  await tell('x.1 +1 alice')
  await rooms.part(bob.session, hall)
  const again = rooms.join(bob.session, hall)
  await step()
  await step()
  expect(await again).toBe('joined')
  bob.connection.full = false
  await clock.advance(500)
  expect(
    heard()
      .flat()
      .filter((change) => change.startsWith('alice')),
  ).toEqual([])
})

test('[WC4] a peer that missed changes of more members than a room can have is closed as a slow consumer', async () => {
  const { node, bob, tell } = await inTheHall()
  const { peer } = bob.session
  bob.connection.full = true
  const all = Array.from({ length: 10_000 }, (_, i) => `x.1 +1 m-${i}`)
  await tell(...all)
  await tell(...all)
  expect(bob.connection.closed).toBeUndefined()
  await tell('x.1 +1 one-more')
  expect(bob.connection.closed).toBe('slow-consumer')
  // The name of a closed peer was once held for ever.
  await node.end(bob.connection.id, 'dropped')
  expect(await node.lookup([peer])).toMatchObject([{ state: 'away' }])
})

test('[WC4] the missed changes of all slow peers of a node are bounded, and a closed peer frees its share', async () => {
  const { rooms, bob, tell, arrive: come, step } = await inTheHall()
  const peers = [bob]
  for (let i = 1; i < 20; i++) {
    const peer = await come(`peer-${i}`)
    const joined = rooms.join(peer.session, hall)
    await step()
    await step()
    await joined
    peers.push(peer)
  }
  for (const { connection } of peers) connection.full = true
  const closed = (): number => peers.filter(({ connection }) => connection.closed === 'slow-consumer').length
  await tell(...Array.from({ length: 9_900 }, (_, i) => `x.1 +1 m-${i}`))
  expect(closed()).toBe(0)
  const late = await come('late')
  const joined = rooms.join(late.session, hall)
  await step()
  await step()
  await joined
  late.connection.full = true
  peers.push(late)
  const more = Array.from({ length: 2_000 }, (_, i) => `x.1 +1 m-${i}`)
  await tell(...more)
  expect(closed()).toBe(1)
  // The node dropped the missed changes of that connection, so the same number fits again.
  await tell(...Array.from({ length: 80 }, (_, i) => `x.1 +1 n-${i}`))
  expect(closed()).toBe(1)
})

test('[WR10] the number of members is asked for once a second, and known in between', async () => {
  const { rooms, registry, bob, clock, errors } = await inTheHall()
  const sizes: (() => Promise<number>)[] = [
    () => Promise.reject(new RegistryUnavailable('away')),
    () => Promise.resolve(7),
    () => Promise.resolve(9),
    () => Promise.reject(new RegistryUnavailable('away')),
  ]
  registry.size = () => sizes.shift()?.() ?? Promise.resolve(0)
  const first = rooms.reach(bob.session, hall)
  expect(rooms.reach(bob.session, hall)).toBe(first)
  await expect(first).rejects.toThrow(RegistryUnavailable)
  expect(await rooms.reach(bob.session, hall)).toBe(7)
  expect(rooms.reach(bob.session, hall)).toBe(7)
  await clock.advance(1_000)
  expect(rooms.reach(bob.session, hall)).toBe(7)
  await clock.advance(999)
  expect(rooms.reach(bob.session, hall)).toBe(9)
  expect(errors).toEqual([])
  await clock.advance(1)
  expect(rooms.reach(bob.session, hall)).toBe(9)
  await clock.advance(0)
  expect(rooms.reach(bob.session, hall)).toBe(9)
  expect(errors).toHaveLength(1)
})

/** Alice and bob are in a room, on a node each. The test records what alice is told. */
async function apart() {
  const { a, b, clock, cluster, cuts, times } = await two()
  const [alice, bob] = [await arrive(a, 'alice'), await arrive(b, 'bob')]
  for (const [node, arrival] of [
    [b, bob],
    [a, alice],
  ] as const) {
    await node.rooms.join(arrival.session, hall)
    await node.rooms.list(arrival.session, hall)
  }
  await clock.advance(1_000)
  alice.connection.sent.length = 0
  const told = (): string[] =>
    alice.connection.sent.flatMap((message) =>
      message.type === 'changed' ? message.members.map(({ name, state }) => `${name} ${state}`) : [],
    )
  return { a, b, alice, bob, clock, cluster, cuts, told, roundMs: RENEW_ROUND_BEATS * times.beatMs, times }
}

test('[WR7] [I15] members of a node that died silently are away within a round, and have left when their memberships end', async () => {
  const { b, clock, cuts, told, roundMs, times } = await apart()
  cutOff(cuts, b, true)
  await clock.advance(times.nodeLeaseMs + roundMs)
  expect(told()).toEqual(['bob away'])
  await clock.advance(times.nameTtlMs + 2 * roundMs)
  expect(told()).toEqual(['bob away', 'bob left'])
})

test('[WR7] [I15] a member that is back before its membership ends is online again, although no change was published', async () => {
  const { b, clock, cuts, told, roundMs, times } = await apart()
  cutOff(cuts, b, true)
  await clock.advance(times.nodeLeaseMs + roundMs)
  cutOff(cuts, b, false)
  await clock.advance(2 * roundMs)
  expect(told()).toEqual(['bob away', 'bob joined'])
})

test.each(['part', 'end'] as const)(
  '[WR7] [I15] the members learn of a %s whose change was lost within two rounds',
  async (how) => {
    const { a, b, bob, clock, told, roundMs, times } = await apart()
    vi.spyOn(MemoryRooms.prototype, 'publish').mockResolvedValue('unavailable')
    if (how === 'part') await b.rooms.part(bob.session, hall)
    else await b.end(bob.connection.id, 'dropped')
    vi.restoreAllMocks()
    await clock.advance(times.graceMs + 3 * roundMs)
    expect(told().at(-1)).toBe('bob left')
    expect(a.rooms.count).toBe(1)
  },
)

test('[WR7] [I15] the members learn of a join whose change was lost within a round, and of nothing in a quiet room', async () => {
  const { b, clock, told, roundMs } = await apart()
  await clock.advance(3 * roundMs)
  expect(told()).toEqual([])
  const carol = await arrive(b, 'carol')
  vi.spyOn(MemoryRooms.prototype, 'publish').mockResolvedValue('unavailable')
  await b.rooms.join(carol.session, hall)
  vi.restoreAllMocks()
  await clock.advance(roundMs)
  expect(told()).toEqual(['carol joined'])
})

test('[WR7] [I15] a member whose change was lost, and that a newcomer of this node read in the list, is told to the others', async () => {
  const { a, b, clock, told, roundMs } = await apart()
  const carol = await arrive(b, 'carol')
  vi.spyOn(MemoryRooms.prototype, 'publish').mockResolvedValue('unavailable')
  await b.rooms.join(carol.session, hall)
  vi.restoreAllMocks()
  const dave = await arrive(a, 'dave')
  await a.rooms.join(dave.session, hall)
  await a.rooms.list(dave.session, hall)
  await clock.advance(2 * roundMs)
  expect(told()).toEqual(['dave joined', 'carol joined'])
})

test('[WR7] [I15] after a doubt the members learn at once of a join whose change was lost, and of nothing else', async () => {
  const { b, bob, clock, cluster, told, roundMs, times } = await apart()
  const carol = await arrive(b, 'carol')
  vi.spyOn(MemoryRooms.prototype, 'publish').mockResolvedValue('unavailable')
  await b.rooms.join(carol.session, hall)
  vi.restoreAllMocks()
  cluster.setDown(true)
  cluster.setDown(false)
  await clock.advance(times.beatMs)
  expect(told()).toEqual(['carol joined'])
  // Members that are not written back yet are missing from the list once, and have not left.
  cluster.flush()
  await clock.advance(2 * roundMs)
  expect(told()).toEqual(['carol joined'])
  expect(b.rooms.has(bob.session, hall)).toBe(true)
})

test('[WR7] a change while the list is read is not undone by the list', async () => {
  const roster = new Roster()
  const bob = { name: nameOf(peerNamed('bob')), since: 1 }
  roster.listed([{ ...bob, state: 'online' }], false)
  const changes = await roster.reconcile(async () => {
    roster.told({ ...bob, state: 'away' })
    return [{ ...bob, state: 'online' as const }]
  }, 'all')
  expect(changes).toEqual([])
  expect(await roster.reconcile(async () => [{ ...bob, state: 'away' as const }], 'all')).toEqual([])
  // A member that is missing once may not have been written back yet.
  expect(await roster.reconcile(async () => [], 'all')).toEqual([])
  expect(await roster.reconcile(async () => [], 'all')).toEqual([{ ...bob, state: 'left' }])
})

test('[WR7] a member that leaves during an outage is removed after it, and one that joined again stays', async () => {
  const { b, bob, clock, cuts, told, times } = await apart()
  const carol = await arrive(b, 'carol')
  await b.rooms.join(carol.session, hall)
  cutOff(cuts, b, true)
  await b.rooms.part(bob.session, hall)
  await b.rooms.part(carol.session, hall)
  cutOff(cuts, b, false)
  await b.rooms.join(carol.session, hall)
  await clock.advance(2 * times.beatMs)
  expect(told().filter((text) => text.startsWith('bob'))).toEqual(['bob left'])
  expect(told().filter((text) => text.startsWith('carol'))).not.toContain('carol left')
})

for (const where of ['the same node', 'another node'] as const)
  test(`[WR7] a member that came back on ${where} and joined is online, however late its former connection ends`, async () => {
    const { a, b, alice, bob, clock, told } = await apart()
    const node = where === 'another node' ? a : b
    const back = await arrive(node, 'bob')
    await node.rooms.join(back.session, hall)
    await b.end(bob.connection.id, 'dropped')
    await clock.advance(1_000)
    const { members } = await a.rooms.list(alice.session, hall)
    expect(members.map(({ name, state }) => `${name} ${state}`)).toEqual(['alice online', 'bob online'])
    expect(told()).not.toContain('bob away')
    // When its new connection ends, the member is away.
    await node.end(back.connection.id, 'dropped')
    await clock.advance(1_000)
    expect(told().at(-1)).toBe('bob away')
  })

test('[WR7] a peer that came back and has not joined again is away', async () => {
  const { b, bob, clock, told } = await apart()
  await arrive(b, 'bob')
  await b.end(bob.connection.id, 'dropped')
  await clock.advance(1_000)
  expect(told().at(-1)).toBe('bob away')
})

test('[WR7] members learn that a member has left within half a second after its grace', async () => {
  const { b, bob, clock, told, times } = await apart()
  await b.end(bob.connection.id, 'dropped')
  await clock.advance(times.graceMs - 100)
  expect(told()).toEqual(['bob away'])
  await clock.advance(600)
  expect(told()).toEqual(['bob away', 'bob left'])
})

test('[WR7] a peer that joins while a member is away learns in time that it has left, and not if it comes back', async () => {
  const { a, b, bob, clock, times } = await apart()
  const other = roomNamed('other')
  const dora = await arrive(b, 'dora')
  for (const arrival of [bob, dora]) await b.rooms.join(arrival.session, other)
  await b.end(bob.connection.id, 'dropped')
  await b.end(dora.connection.id, 'dropped')
  await clock.advance(times.graceMs - 10_000)
  const carol = await arrive(a, 'carol')
  await a.rooms.join(carol.session, other)
  await a.rooms.list(carol.session, other)
  await clock.advance(100)
  const again = await arrive(b, 'dora')
  await b.rooms.join(again.session, other)
  carol.connection.sent.length = 0
  await clock.advance(10_400)
  const heard = (): string[] =>
    carol.connection.sent.flatMap((message) =>
      message.type === 'changed' ? message.members.map(({ name, state }) => `${name} ${state}`) : [],
    )
  expect(heard()).toEqual(['dora joined', 'bob left'])
})

test('[WR7] a thousand members whose graces end together are asked about in one call', async () => {
  const { registry, tell, heard, clock } = await inTheHall()
  const asked = vi.spyOn(registry, 'endsIn')
  const names = Array.from({ length: 1_000 }, (_, i) => `m-${i}`)
  await tell(...names.map((name) => `x.1 +1 ${name}`), ...names.map((name) => `x.1 ~1 ${name}`))
  const before = heard().flat().length
  await clock.advance(30_500)
  expect(asked).toHaveBeenCalledTimes(1)
  expect(heard().flat().slice(before)).toEqual(names.map((name) => `${name} 1 left`))
})

test('a membership is renewed in each round, however many rooms end meanwhile', async () => {
  const { node, rooms, registry, arrive } = await scene()
  registry.join = () => Promise.resolve('joined')
  registry.subscribe = () => Promise.resolve()
  const kept: RoomId[] = []
  registry.keep = (room) => {
    kept.push(room)
    return Promise.resolve()
  }
  // In each beat, older rooms end: one less than there are shares.
  const leavers: Arrival[] = []
  for (let beat = 0; beat <= RENEW_ROUND_BEATS; beat++) {
    const leaver = await arrive(`leaver${beat}`)
    leavers.push(leaver)
    for (let i = 0; i < RENEW_ROUND_BEATS - 1; i++)
      await rooms.join(leaver.session, roomNamed(`short-${beat}-${i}`))
  }
  const stayer = await arrive('stayer')
  const other = await arrive('other')
  await rooms.join(other.session, roomNamed('other'))
  await rooms.join(stayer.session, hall)
  for (const leaver of leavers.slice(0, RENEW_ROUND_BEATS)) {
    await rooms.renewTurn()
    await rooms.forget(leaver.connection.id, 'left')
  }
  const stayed = kept.map(roomOf).filter((room) => room === hall || room === roomNamed('other'))
  expect(stayed.toSorted()).toEqual(['hall', 'other'])
  rooms.stop()
  await node.stop()
})
