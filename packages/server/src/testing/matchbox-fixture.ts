import type { Backend, RoomRegistry } from '@peerage/core'
import { RegistryUnavailable, memoryCluster } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { WirePeer } from '@peerage/test-support/wire-peer.js'
import { expect } from 'vitest'
import { MatchboxGateway } from '../gateway/matchbox/gateway.js'
import type { WireFixture, WireFixtureOptions } from './wire-fixture.js'
import { sockets, startWire } from './wire-fixture.js'

export type Fixture = WireFixture<MatchboxGateway>

/** No pings, because the clock of the test jumps. */
const quiet = { ...sockets, pingIntervalMs: 10_000_000, pingTimeoutMs: 100_000 }

export const start = (more: WireFixtureOptions = {}): Promise<Fixture> =>
  startWire((options) => new MatchboxGateway({ ...options, ...quiet, base: '/' }), more)

export interface Two {
  clock: FakeClock
  cluster: ReturnType<typeof memoryCluster>
  a: Fixture
  b: Fixture
  /** `isDeaf`: node a hears nothing of what is published in rooms. `isAway`: node b cannot beat. */
  lossy: { isDeaf: boolean; isAway: boolean }
}

/** Two nodes on one store. */
export async function two(more: WireFixtureOptions = {}): Promise<Two> {
  const clock = new FakeClock()
  const cluster = memoryCluster({ clock })
  const lossy = { isDeaf: false, isAway: false }
  const a = await start({
    ...more,
    cluster,
    time: clock,
    wrap: (backend) => ({ ...delegated(backend), rooms: deafRooms(backend.rooms, lossy) }),
  })
  const b = await start({
    ...more,
    cluster,
    time: clock,
    wrap: (backend) => {
      const { nodes } = backend
      const beat = nodes.beat.bind(nodes)
      nodes.beat = (settled) =>
        lossy.isAway ? Promise.reject(new RegistryUnavailable('node b is away')) : beat(settled)
      return backend
    },
  })
  // After one beat of each node, each node knows the other.
  await clock.advance(2_000)
  return { clock, cluster, a, b, lossy }
}

function delegated(backend: Backend): Backend {
  return {
    ...backend,
    identify: (node) => backend.identify(node),
    start: (onEvent) => backend.start(onEvent),
    stop: () => backend.stop(),
  }
}

function deafRooms(rooms: RoomRegistry, lossy: { isDeaf: boolean }): RoomRegistry {
  return {
    join: (room, member, ttlMs, most) => rooms.join(room, member, ttlMs, most),
    part: (room, member) => rooms.part(room, member),
    keep: (room, members, ttlMs) => rooms.keep(room, members, ttlMs),
    away: (room, member, node, ttlMs) => rooms.away(room, member, node, ttlMs),
    list: (room, after, most) => rooms.list(room, after, most),
    endsIn: (room, members) => rooms.endsIn(room, members),
    size: (room) => rooms.size(room),
    subscribe: (room, receive) => rooms.subscribe(room, (text) => (lossy.isDeaf ? undefined : receive(text))),
    unsubscribe: (room) => rooms.unsubscribe(room),
    publish: (room, text) => rooms.publish(room, text),
  }
}

export interface Game {
  peer: WirePeer
  id: string
}

/** Connects a peer after a millisecond of the clock, so that it comes later than those before it. */
export async function enter(fixture: Fixture, path = '/matchbox/chess'): Promise<Game> {
  await fixture.clock.advance(1)
  return enterNow(fixture, path)
}

/** Connects a peer and waits for its id. */
export async function enterNow({ connect }: Fixture, path = '/matchbox/chess'): Promise<Game> {
  const peer = connect(path)
  const { IdAssigned: id } = JSON.parse(await peer.frame(1)) as { IdAssigned: string }
  return { peer, id }
}

/** The frames after the first one. */
export function told({ peer }: Game): string[] {
  return peer.frames.slice(1)
}

/** Changes reach the peers after 50 ms of the clock, and then a moment for the sockets. */
export async function settle(clock: FakeClock, ms = 200): Promise<void> {
  for (let i = 0; i < 4; i++) {
    await clock.advance(ms / 4)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Waits until a peer has so many frames, while time passes. */
export async function heard(clock: FakeClock, { peer }: Game, frames: number): Promise<void> {
  await expect.poll(() => settle(clock).then(() => peer.frames.length)).toBeGreaterThanOrEqual(frames)
}

export const newPeer = ({ id }: Game): string => `{"NewPeer":"${id}"}`
export const peerLeft = ({ id }: Game): string => `{"PeerLeft":"${id}"}`
export const signal = (to: Game, data: unknown): string =>
  JSON.stringify({ Signal: { receiver: to.id, data } })
export const signalFrom = (from: Game, data: unknown): string =>
  JSON.stringify({ Signal: { sender: from.id, data } })

/** For each pair, how many of the two got a NewPeer. */
export function offers(games: readonly Game[]): number[] {
  return games.flatMap((one, i) =>
    games.slice(i + 1).map((other) => {
      const count = (of: Game, frame: string): number => told(of).filter((text) => text === frame).length
      return count(one, newPeer(other)) + count(other, newPeer(one))
    }),
  )
}
