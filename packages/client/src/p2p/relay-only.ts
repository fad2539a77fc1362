import type { PeerConnectionClass } from './options.js'

const STACK =
  "relayOnly cannot be kept by this WebRTC stack: in Node only werift and @roamhq/wrtc are known to hide this machine's address, and node-datachannel shows it; pass p2p.RTCPeerConnection from one of those two, or leave relayOnly out"
const SERVERS =
  'relayOnly needs a TURN server, and this tier names none: set p2p.turn.urls and p2p.turn.secret on its nodes'

/**
 * Why `relayOnly` cannot be kept with this stack and these servers, and what to do; undefined: it can. Asked before
 * anything is sent: a check from one's own address has shown it, whatever comes of it.
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
 * Whether a connection of this class, told to use relays alone, sends to the other peer through them alone. Browsers and
 * werift do, and so does libwebrtc in @roamhq/wrtc. libjuice, below node-datachannel, checks each pair from its own
 * socket too, even where the far side only claims that its address is a relay's. What is not known is not trusted.
 */
function isKnownToHide(PeerConnection: PeerConnectionClass): boolean {
  const isNode = typeof process !== 'undefined' && process.versions?.node !== undefined
  if (!isNode) return true
  // A page of Electron, with Node's own objects beside those of the browser.
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
