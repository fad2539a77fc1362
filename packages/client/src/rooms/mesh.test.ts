import { expect, test } from 'vitest'
import type { PresenceState } from '@peerage/protocol'
import { Emitter } from '../lib/emitter.js'
import { Mesh } from './mesh.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'

import type { Channel } from '../p2p/channel/channel.js'

type Parts = ConstructorParameters<typeof Mesh>

/** A mesh of ann whose calls are counted. A call ends only when the mesh aborts it. */
function meshOfAnn(): {
  mesh: Mesh
  clock: FakeClock
  calls: string[]
  tell: (name: string, state: PresenceState | 'left') => void
  open: (channel: Channel) => void
} {
  const clock = new FakeClock()
  const calls: string[] = []
  const members = new Map<string, { name: string; state: PresenceState }>()
  const events = new Emitter<{ member: [] }>({ member: true }, () => {})
  const session = { self: { name: 'ann' }, clock, onError: () => {}, onClosed: () => () => {} }
  let open = (_channel: Channel): void => {}
  const p2p = {
    channels: [],
    channel: () => undefined,
    on: (_event: string, listener: (channel: Channel) => void) => {
      open = listener
      return () => {}
    },
    connect: (name: string, { signal }: { signal: AbortSignal }): Promise<never> => {
      calls.push(name)
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(new Error('given up'))),
      )
    },
  }
  const room = {
    get members() {
      return [...members.values()]
    },
    on: (event: 'member', listener: () => void) => events.on(event, listener),
  }
  return {
    mesh: new Mesh(...([session, p2p, room] as unknown as Parts)),
    clock,
    calls,
    open: (channel) => open(channel),
    tell(name, state) {
      if (state === 'left') members.delete(name)
      else members.set(name, { name, state })
      events.emit('member')
    },
  }
}

test('[PP27] a member that joins and leaves again and again is called 8 times at once, then twice a second', async () => {
  const { clock, calls, tell } = meshOfAnn()
  for (let i = 0; i < 200; i++) {
    tell('bob', 'online')
    await clock.advance(5)
    tell('bob', 'left')
    await clock.advance(5)
  }
  // 8 calls at once, and 2 calls in each of 2 seconds.
  expect(calls.length).toBeGreaterThanOrEqual(8)
  expect(calls.length).toBeLessThanOrEqual(13)
  tell('carol', 'online')
  await clock.advance(5)
  expect(calls.at(-1)).toBe('carol')
})

test('[PP27] a member that leaves and joins again at once is called again', async () => {
  const { mesh, clock, calls, tell } = meshOfAnn()
  tell('bob', 'online')
  await clock.advance(5)
  tell('bob', 'left')
  tell('bob', 'online')
  await clock.advance(5)
  expect(calls).toEqual(['bob', 'bob'])
  expect([...mesh.channels]).toEqual([])
})

test('[PP27] of a hundred members that never answer, sixteen are called at once and the others in turn', async () => {
  const { clock, calls, tell } = meshOfAnn()
  for (let i = 0; i < 100; i++) tell(`stranger-${i}`, 'online')
  await clock.advance(5)
  expect(calls).toHaveLength(16)
  // These 16 members leave, so the mesh calls 16 others.
  for (let i = 0; i < 16; i++) tell(`stranger-${i}`, 'left')
  await clock.advance(5)
  expect(new Set(calls).size).toBe(32)
})

test('the application cannot change the channels of a mesh', () => {
  const { mesh, tell, open } = meshOfAnn()
  tell('bob', 'online')
  open({ peer: 'bob', on: () => () => {} } as unknown as Channel)
  for (const channels of [mesh.channels, mesh.channels]) (channels as Map<string, Channel>).clear()
  expect([...mesh.channels.keys()]).toEqual(['bob'])
})
