import type { Room, RoomId } from '@peerage/protocol'
import { parseRoom } from '@peerage/protocol'
import { expect, test } from 'vitest'
import { defaultMailboxLimits } from './mailbox.js'
import { MemoryRooms } from './memory/rooms.js'
import { Store } from './memory/store.js'
import { RegistryUnavailable } from './registry.js'
import type { RoomRegistry } from './room-registry.js'
import { Rooms } from './rooms.js'
import { two } from './testing/house.js'
import type { Stay } from './testing/peers.js'
import { arrive } from './testing/peers.js'

/** Subscriptions and joins take their time, as over Redis; a subscription that is not wanted any more is refused. */
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
    list: (...args) => inner.list(...args),
    subscribe: async (room, receive) => {
      const stands = new Promise<void>((resolve, reject) => {
        steps.push(resolve)
        refusals.set(room, reject)
      })
      await Promise.all([stands, inner.subscribe(room, receive)])
    },
    unsubscribe: (room) => {
      inner.unsubscribe(room)
      refusals.get(room)?.(new RegistryUnavailable('not wanted any more'))
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
  const { registry, steps } = slow(new MemoryRooms(new Store(times, clock, defaultMailboxLimits)))
  const errors: unknown[] = []
  const rooms = new Rooms({
    self: () => a.id,
    registry,
    sessions: a.sessions,
    clock,
    nameTtlMs: times.nameTtlMs,
    graceMs: times.graceMs,
    onError: (error) => errors.push(error),
  })
  const turn = (): Promise<void> => clock.advance(0)
  return {
    rooms,
    errors,
    arrive: (name: string) => arrive(a, name),
    turn,
    /** Takes the next step that waits. */
    step: async () => {
      steps.shift()?.()
      await turn()
    },
    members: async ({ session }: Stay) =>
      (await rooms.list(session, hall)).members.map(({ name, state }) => `${name} ${state}`),
    changes: ({ connection }: Stay) =>
      connection.sent.flatMap((message) =>
        message.type === 'changed' ? message.members.map(({ name, state }) => `${name} ${state}`) : [],
      ),
    clock,
  }
}

// Before, the join was `registry-unavailable`: the channel was not wanted any more.
test('[R7] a part while the channel does not stand yet: the join was through, and then the peer left', async () => {
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

test('[R7] a part while the registry is joined: the peer is out, and nobody hears that it came', async () => {
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
  '[R7] a connection that ended while it joined (%s) is no member, and no error is told',
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

// Before, what became of the first join took the second one out again, which had been answered with `roomed`.
test('[R7] join, part and join at once: the peer is in', async () => {
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

test('[R7] the same while the registry is joined: what the first join made is the second one’s', async () => {
  const { rooms, arrive: come, step, members } = await scene()
  const alice = await come('alice')
  const first = rooms.join(alice.session, hall)
  await step()
  expect(await rooms.part(alice.session, hall)).toBe(true)
  const second = rooms.join(alice.session, hall)
  // The join of the first, the channel of the second, its join.
  await step()
  await step()
  await step()
  expect([await first, await second]).toEqual(['parted', 'known'])
  expect(rooms.has(alice.session, hall)).toBe(true)
  expect(await members(alice)).toEqual(['alice online'])
})
