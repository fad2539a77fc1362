import type { PeerConnectionClass } from './rtc.js'

// A variable specifier, so that no bundler tries to resolve a package that browsers never need.
const PACKAGE: string = 'node-datachannel'

let loading: Promise<PeerConnectionClass | undefined> | undefined

/** node-datachannel behind the browser's interface, with its differences evened out; undefined: not installed. */
export function loadNodeDataChannel(): Promise<PeerConnectionClass | undefined> {
  loading ??= load()
  return loading
}

async function load(): Promise<PeerConnectionClass | undefined> {
  let polyfill: { RTCPeerConnection: PeerConnectionClass }
  let native: { cleanup(): void }
  try {
    polyfill = await import(/* @vite-ignore */ `${PACKAGE}/polyfill`)
    native = await import(/* @vite-ignore */ PACKAGE)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
  // Its threads must be gone before the process is: without this, an exit with open connections may crash.
  process.once('exit', () => native.cleanup())
  return adapt(polyfill.RTCPeerConnection)
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
}

function adapt(base: PeerConnectionClass): PeerConnectionClass {
  class NodePeerConnection extends base {
    readonly #isRelayOnly: boolean

    constructor(configuration: RTCConfiguration = {}) {
      super({ ...configuration, iceServers: (configuration.iceServers ?? []).map(encodeServer) })
      this.#isRelayOnly = configuration.iceTransportPolicy === 'relay'
    }

    /** libjuice checks every pair from its own address too: relay-only, it must know no address to check but relays. */
    override addIceCandidate(candidate?: RTCIceCandidateInit | null): Promise<void>
    override addIceCandidate(
      candidate: RTCIceCandidateInit,
      done: VoidFunction,
      failed: RTCPeerConnectionErrorCallback,
    ): Promise<void>
    override async addIceCandidate(candidate?: RTCIceCandidateInit | null): Promise<void> {
      if (this.#isRelayOnly && candidate?.candidate?.includes(' typ relay') !== true) return
      await super.addIceCandidate(candidate)
    }

    /**
     * Who answers is the DTLS server: told that an offer is `active`, libdatachannel answers `passive` (RFC 8842 §5.3).
     * Its ClientHello is lost where the other side's ICE is not connected yet, in Firefox and in libdatachannel itself
     * (#1554), and sent again only after 1 s; a browser and aiortc send theirs again within 0.2 s. So it is the client
     * of its own kind alone, as the side that offers and is connected last. As the client it may also freeze over TURN
     * (its pull request 1630). Milliseconds to open, middle and most of 16 calls (80 of Node to Node, one over 0.2 s):
     * Node to Node 13 and 1,011, Chromium 70 and 83, Firefox 91 and 194, aiortc 41 and 300; to Node from Chromium 18 and
     * 77, Firefox 40 and 269, aiortc 33 and 40. With `active` in Node's offer, Node to Firefox took 1,023 and 1,079;
     * with `active` in its answer, Firefox to Node took 1 s in 7 of 16.
     */
    override setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void>
    override setRemoteDescription(
      description: RTCSessionDescriptionInit,
      done: VoidFunction,
      failed: RTCPeerConnectionErrorCallback,
    ): Promise<void>
    override setRemoteDescription({ type, sdp = '' }: RTCSessionDescriptionInit): Promise<void> {
      return super.setRemoteDescription({
        type,
        sdp: type === 'offer' ? sdp.replace('a=setup:actpass', 'a=setup:active') : sdp,
      })
    }

    override async getStats(): Promise<RTCStatsReport> {
      const report = await super.getStats()
      for (const entry of report.values()) {
        // It counts in milliseconds where webrtc-stats §8.4 says seconds.
        if (entry.type === 'candidate-pair') entry.currentRoundTripTime /= 1000
      }
      return report
    }
  }
  // libdatachannel cannot restart ICE; an absent method says so, where theirs throws.
  Object.defineProperty(NodePeerConnection.prototype, 'restartIce', { value: undefined })
  return NodePeerConnection
}

/** It writes the credentials into the URL, undoing percent-encoding there; a REST username holds a colon. */
function encodeServer(server: RTCIceServer): RTCIceServer {
  if (server.username === undefined || server.credential === undefined) return server
  const urls = [server.urls].flat()
  return {
    urls: urls.filter((url) => !isTcp(url)),
    username: encodeURIComponent(server.username),
    credential: encodeURIComponent(server.credential),
  }
}

/** TURN over TCP or TLS is not for libjuice, and one such URL would fail the whole connection. */
function isTcp(url: string): boolean {
  return url.startsWith('turns:') || url.includes('transport=tcp')
}
