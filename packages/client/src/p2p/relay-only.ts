import type { PeerConnectionClass } from './options.js'

const STACK =
  "relayOnly cannot be kept by this WebRTC stack, because it may show this machine's address: in Node only werift and @roamhq/wrtc are known to hide it, and node-datachannel shows it; pass p2p.RTCPeerConnection from werift or @roamhq/wrtc, or leave relayOnly out"
const SERVERS =
  'relayOnly needs a TURN server, and the nodes name none: set p2p.turn.urls and p2p.turn.secret on them'

/**
 * Why `relayOnly` cannot be kept with this stack and these servers, and what to do; undefined if it can be kept. We check
 * this before we send anything, because a single connectivity check from this peer's own address would reveal it.
 */
export function relayProblem(
  PeerConnection: PeerConnectionClass,
  servers: readonly RTCIceServer[],
): string | undefined {
  if (!isKnownToHide(PeerConnection)) return STACK
  const urls = servers.flatMap((server) => server.urls)
  return urls.some((url) => url.startsWith('turn')) ? undefined : SERVERS
}

/**
 * Whether a connection of this class with `iceTransportPolicy: 'relay'` sends to the other peer only through relays.
 * Browsers, werift and libwebrtc (in @roamhq/wrtc) do. libjuice, which node-datachannel uses, checks each pair from its
 * own socket too, even if the other peer only claims that its address is a relay's. We do not trust unknown stacks.
 */
function isKnownToHide(PeerConnection: PeerConnectionClass): boolean {
  const isNode = typeof process !== 'undefined' && process.versions?.node !== undefined
  if (!isNode) return true
  // A page in Electron has Node's objects beside those of the browser.
  const isNative = Function.prototype.toString.call(PeerConnection).includes('[native code]')
  if (typeof document !== 'undefined' && isNative) return true
  for (let one: unknown = PeerConnection.prototype; isPrototype(one); one = Object.getPrototypeOf(one)) {
    const isWerift = Object.hasOwn(one, 'dtlsTransports') && Object.hasOwn(one, 'iceTransports')
    const isWrtc = one.constructor.name === 'RTCPeerConnection' && Object.hasOwn(one.constructor, 'super_')
    if (isWerift || isWrtc) return true
  }
  return false
}

const isPrototype = (value: unknown): value is { constructor: object & { name: string } } =>
  typeof value === 'object' && value !== null && value !== Object.prototype
