import type { Registry } from '@peerage/core'
import { systemClock } from '@peerage/core'
import type { App, Peer } from '@peerage/protocol'
import { parseApp, parsePeer } from '@peerage/protocol'
import { PeerJsPeer } from '@peerage/test-support/peerjs.js'
import { PeerJsGateway } from '../gateway/peerjs/gateway.js'
import type { PeerJsGatewayOptions } from '../gateway/peerjs/options.js'
import type { GatewayOptions } from '../gateway/shared/gateway.js'
import type { WireFixture, WireFixtureOptions } from './wire-fixture.js'
import { atEnd, sockets, startWire } from './wire-fixture.js'

export { closeWires as closeFixtures } from './wire-fixture.js'

export function appOf(text: string): App {
  const app = parseApp(text)
  if (!app.ok) throw new Error(app.problem)
  return app.value
}

export function peerOf(text: string): Peer {
  const peer = parsePeer(text)
  if (!peer.ok) throw new Error(peer.problem)
  return peer.value
}

export interface Fixture extends WireFixture<PeerJsGateway> {
  join(id: string, token?: string): Promise<PeerJsPeer>
}

export type FixtureOptions = Partial<PeerJsGatewayOptions> & WireFixtureOptions

/** Starts a node with only the PeerJS wire. Its clock stands still until a test advances it. */
export async function startFixture(more: FixtureOptions = {}): Promise<Fixture> {
  const create = (options: GatewayOptions): PeerJsGateway =>
    new PeerJsGateway({
      root: '/',
      path: '/',
      concurrentLimit: 5_000,
      aliveMs: 90_000,
      cors: [],
      ...sockets,
      ...more,
      ...options,
    })
  const fixture = await startWire(create, more)
  const { url } = fixture
  const join = async (id: string, token?: string): Promise<PeerJsPeer> => {
    const peer = await PeerJsPeer.open(token === undefined ? { url, id } : { url, id, token })
    atEnd(() => peer.cut())
    return peer
  }
  return { ...fixture, join }
}

/** The same registry, with some methods replaced. */
export function registryWith(registry: Registry, others: Partial<Registry>): Registry {
  return {
    claim: (peer, owner, options) => registry.claim(peer, owner, options),
    renew: (leases) => registry.renew(leases),
    reassert: (leases, former) => registry.reassert(leases, former),
    suspend: (lease, ms) => registry.suspend(lease, ms),
    release: (lease) => registry.release(lease),
    lookup: (peer) => registry.lookup(peer),
    graceEndsIn: (peer) => registry.graceEndsIn(peer),
    ...others,
  }
}

/** Waits until a condition holds that no peer can see, because it depends on what happens between sockets. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const deadline = systemClock.monotonic() + 5_000
  while (!holds()) {
    if (systemClock.monotonic() > deadline) throw new Error(`not ${what} in time`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** Advances the clock through the retries of a claim until the peer gets ID-TAKEN. */
export async function takenAnswer(fixture: Fixture, peer: PeerJsPeer): Promise<void> {
  while (!peer.frames.some((frame) => frame.includes('ID-TAKEN'))) {
    await fixture.clock.advance(50)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
