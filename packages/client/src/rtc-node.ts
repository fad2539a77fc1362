import type { PeerConnectionClass } from './rtc.js'

// No bundle can hold native code, so Node itself loads the package, from where the program or its bundle is. No bundler
// follows a variable with these comments: webpack and Rspack read the first, Turbopack the second, Vite the third.
const PACKAGE: string = 'node-datachannel'

let loading: Promise<PeerConnectionClass> | undefined

/** node-datachannel behind the browser's interface, with its differences evened out. Rejects where it is not installed. */
export function loadNodeDataChannel(): Promise<PeerConnectionClass> {
  loading ??= load()
  return loading
}

async function load(): Promise<PeerConnectionClass> {
  let polyfill: { RTCPeerConnection: PeerConnectionClass }
  let native: { cleanup(): void }
  try {
    polyfill = await import(
      /* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ `${PACKAGE}/polyfill`
    )
    native = await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ PACKAGE)
  } catch (error) {
    if (!isMissing(error)) throw error
    // Node's text says from where it was looked for: where a bundle lies, that is another place than the sources'.
    throw new Error(
      `no WebRTC here: install node-datachannel, or pass RTCPeerConnection (${error.message})`,
      {
        cause: error,
      },
    )
  }
  // Its threads must be gone before the process is: without this, an exit with open connections may crash.
  process.once('exit', () => native.cleanup())
  return adapt(polyfill.RTCPeerConnection)
}

function isMissing(error: unknown): error is Error {
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
     * A DTLS ClientHello that arrives before libdatachannel's own ICE is connected is lost (libdatachannel #1554), and
     * sent again only after 1 s, then 2 s. The side that offers is connected last, so it should be the DTLS client:
     * `active` instead of `actpass` (RFC 8842 §5.3), in what is sent; its own copy stays as it was.
     */
    override createOffer(options?: RTCOfferOptions): Promise<RTCSessionDescriptionInit>
    override createOffer(
      done: RTCSessionDescriptionCallback,
      failed: RTCPeerConnectionErrorCallback,
    ): Promise<void>
    override async createOffer(): Promise<RTCSessionDescriptionInit | void> {
      const { type, sdp } = await super.createOffer()
      return { type, sdp: (sdp ?? '').replace('a=setup:actpass', 'a=setup:active') }
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
