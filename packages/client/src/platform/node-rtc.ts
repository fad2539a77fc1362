import { formatIceUrl, icePort, iceTransport, parseIceUrl } from '@peerage/protocol'
import type { PeerConnectionClass } from '../p2p/options.js'

// No bundle can hold native code, so Node itself loads the package, from where the program or its bundle is. No bundler
// follows a variable with these comments: webpack and Rspack read the first, Turbopack the second, Vite the third.
const PACKAGE: string = 'node-datachannel'

/** A server as libdatachannel itself is told of it; with `relayType` it is a TURN server. */
interface NativeServer {
  hostname: string
  port: number
  username?: string
  password?: string
  relayType?: 'TurnUdp'
}

/** As much of node-datachannel itself as is used here. */
interface Native {
  cleanup(): void
  PeerConnection: new (
    name: string,
    configuration: { iceServers: NativeServer[]; iceTransportPolicy: RTCIceTransportPolicy },
  ) => object
}

let loading: Promise<PeerConnectionClass> | undefined

/** node-datachannel behind the browser's interface, with its differences evened out. Rejects where it is not installed. */
export function loadNodeDataChannel(): Promise<PeerConnectionClass> {
  loading ??= load()
  return loading
}

async function load(): Promise<PeerConnectionClass> {
  let polyfill: { RTCPeerConnection: PeerConnectionClass }
  let native: Native
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
  return adapt(polyfill.RTCPeerConnection, native)
}

function isMissing(error: unknown): error is Error {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
}

function adapt(base: PeerConnectionClass, native: Native): PeerConnectionClass {
  class NodePeerConnection extends base {
    constructor(configuration: RTCConfiguration = {}) {
      const { iceTransportPolicy = 'all' } = configuration
      const servers = (configuration.iceServers ?? []).flatMap(usableOf)
      // Theirs would write host and credentials into a URL that libdatachannel reads wrongly: IPv6, a colon, an @.
      const peerConnection = new native.PeerConnection('peerage', {
        iceServers: servers.map(({ server }) => server),
        iceTransportPolicy,
      })
      const told = { ...configuration, iceServers: servers.map(({ told: one }) => one), peerConnection }
      super(told)
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

/**
 * What libjuice can use of an entry: STUN and TURN over UDP. The rest is left out, for one URL of another kind fails the
 * whole connection. Of what is left libdatachannel takes one STUN server and two TURN servers, by lot.
 */
function usableOf(entry: RTCIceServer): { server: NativeServer; told: RTCIceServer }[] {
  const { username, credential } = entry
  return [entry.urls].flat().flatMap((text) => {
    const read = parseIceUrl(text)
    if (!read.ok || iceTransport(read.value) !== 'udp') return []
    const { scheme, host } = read.value
    const at = { hostname: host, port: icePort(read.value) }
    const urls = formatIceUrl(read.value)
    if (scheme === 'stun') return [{ server: at, told: { urls } }]
    if (!username || !credential) return []
    const server = { ...at, username, password: credential, relayType: 'TurnUdp' as const }
    return [{ server, told: { urls, username, credential } }]
  })
}
