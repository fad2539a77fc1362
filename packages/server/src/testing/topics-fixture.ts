import { memoryCluster } from '@peerage/core'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { WirePeer } from '@peerage/test-support/wire-peer.js'
import type { TopicWire } from '../gateway/topics/codec.js'
import { TopicGateway } from '../gateway/topics/gateway.js'
import type { WireFixture, WireFixtureOptions } from './wire-fixture.js'
import { sockets, startWire } from './wire-fixture.js'

export type TopicNode = WireFixture<TopicGateway>

export interface TopicNodes {
  a: TopicNode
  b: TopicNode
  clock: FakeClock
  cluster: ReturnType<typeof memoryCluster>
}

/** Starts two nodes of one cluster, each with only one wire: `b` may have another one than `a`. */
export async function twoNodes(
  wire: TopicWire,
  more: WireFixtureOptions = {},
  other = wire,
): Promise<TopicNodes> {
  const clock = new FakeClock()
  const cluster = memoryCluster({ clock })
  const start = (one: TopicWire): Promise<TopicNode> =>
    startWire((options) => new TopicGateway({ ...options, ...sockets, base: '/' }, one), {
      ...more,
      time: clock,
      cluster,
    })
  return { a: await start(wire), b: await start(other), clock, cluster }
}

/** The frames of a peer as objects. */
export function framesOf(peer: WirePeer): unknown[] {
  return peer.frames.map((frame): unknown => JSON.parse(frame))
}
