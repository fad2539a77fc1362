import type { WirePeer } from '@peerage/test-support/wire-peer.js'
import { WebTorrentGateway } from '../gateway/webtorrent/gateway.js'
import type { WebTorrentGatewayOptions } from '../gateway/webtorrent/options.js'
import type { SocketOptions } from '../gateway/shared/gateway.js'
import { sockets, startWire } from './wire-fixture.js'
import type { WireFixture, WireFixtureOptions } from './wire-fixture.js'

/** Starts a node with only the tracker. Its pings wait, because a test lets minutes pass at once. */
export function startTracker(
  options: WireFixtureOptions = {},
  settings: Partial<SocketOptions & Pick<WebTorrentGatewayOptions, 'intervalMs'>> = {},
): Promise<WireFixture<WebTorrentGateway>> {
  const own = { ...sockets, pingIntervalMs: 3_600_000, base: '/', intervalMs: 120_000, ...settings }
  return startWire((shared) => new WebTorrentGateway({ ...shared, ...own }), options)
}

/** A text of 20 characters. */
export function bytes20(text: string): string {
  return text.padEnd(20, '.').slice(0, 20)
}

export function hexOf(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('hex')
}

export function offersOf(who: string, count: number) {
  return Array.from({ length: count }, (_, n) => ({
    offer: { type: 'offer', sdp: `v=0\r\no=${who} ${n}\r\n` },
    offer_id: bytes20(`${who}-${n}`),
  }))
}

/** An announce without the fields that a test gives. */
export function announceOf(swarm: string, who: string, more: object = {}): object {
  return { action: 'announce', info_hash: bytes20(swarm), peer_id: bytes20(who), ...more }
}

export type Frame = Readonly<Record<string, unknown>>

/** All frames that a peer has got, or only those with the field. */
export function framesOf(peer: WirePeer, field?: string): Frame[] {
  const frames = peer.frames.map((text) => JSON.parse(text) as Frame)
  return field === undefined ? frames : frames.filter((frame) => field in frame)
}

/** Waits until a peer has got so many frames with a field, and returns the last of them. */
export async function frameWith(peer: WirePeer, field: string, count = 1): Promise<Frame> {
  await peer.until(`${field} ${count}`, () => framesOf(peer, field).length >= count)
  return framesOf(peer, field)[count - 1] ?? {}
}

/** Announces, and waits for the reply. */
export async function announced(
  peer: WirePeer,
  swarm: string,
  who: string,
  more: object = {},
): Promise<Frame> {
  await peer.opened()
  const before = framesOf(peer, 'interval').length
  peer.send(announceOf(swarm, who, more))
  return frameWith(peer, 'interval', before + 1)
}
