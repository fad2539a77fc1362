import { formatIceUrl, icePort, iceTransport, parseIceUrl } from '@peerage/protocol'
import type { PeerConnectionClass } from '../p2p/options.js'

// A bundle cannot hold native code, so Node itself loads the package at run time, relative to the program or its
// bundle. With a variable and these comments, no bundler follows the import: webpack and Rspack read the first comment,
// Turbopack the second, Vite the third.
const PACKAGE: string = 'node-datachannel'

/** An ICE server in libdatachannel's own form. With `relayType` it is a TURN server. */
interface NativeServer {
  hostname: string
  port: number
  username?: string
  password?: string
  relayType?: 'TurnUdp'
}

/** The part of node-datachannel's own interface that we use. */
interface Native {
  cleanup(): void
  PeerConnection: new (
    name: string,
    configuration: { iceServers: NativeServer[]; iceTransportPolicy: RTCIceTransportPolicy },
  ) => object
}

/** Two classes, which choose different DTLS roles for the side that answers: in a call the server, in manual mode the client. */
interface Classes {
  call: PeerConnectionClass
  manual: PeerConnectionClass
}

let loading: Promise<Classes> | undefined

/** Loads node-datachannel with the browser's interface, and adapts where it differs. Rejects if it is not installed. */
export async function loadNodeDataChannel(use: keyof Classes = 'call'): Promise<PeerConnectionClass> {
  loading ??= load()
  return (await loading)[use]
}

async function load(): Promise<Classes> {
  let polyfill: { RTCPeerConnection: PeerConnectionClass }
  let native: Native
  try {
    polyfill = await import(
      /* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ `${PACKAGE}/polyfill`
    )
    native = await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ PACKAGE)
  } catch (error) {
    if (!isMissing(error)) throw error
    // Node's text names the folder it searched from, which for a bundle is not the folder of the sources.
    throw new Error(
      `no WebRTC here: install node-datachannel, or pass RTCPeerConnection (${error.message})`,
      {
        cause: error,
      },
    )
  }
  // Its threads must end before the process does. Otherwise an exit with open connections may crash.
  process.once('exit', () => native.cleanup())
  return {
    call: adapt(polyfill.RTCPeerConnection, native, 'active'),
    manual: adapt(polyfill.RTCPeerConnection, native, 'passive'),
  }
}

function isMissing(error: unknown): error is Error {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
}

/** `offererRole`: the DTLS role of a side that offers both roles, and so leaves the choice to this side. */
function adapt(
  base: PeerConnectionClass,
  native: Native,
  offererRole: 'active' | 'passive',
): PeerConnectionClass {
  class NodePeerConnection extends base {
    constructor(configuration: RTCConfiguration = {}) {
      const { iceTransportPolicy = 'all' } = configuration
      const servers = (configuration.iceServers ?? []).flatMap(usableOf)
      // The polyfill would write host and credentials into one URL, which libdatachannel misreads if it has IPv6, a
      // colon or an @.
      const peerConnection = new native.PeerConnection('peerage', {
        iceServers: servers.map(({ server }) => server),
        iceTransportPolicy,
      })
      const told = { ...configuration, iceServers: servers.map(({ told: one }) => one), peerConnection }
      super(told)
    }

    /**
     * Chooses the DTLS role of the answering side. In calls it is the server [PP32]: if the offer says `active`,
     * libdatachannel answers `passive` (RFC 8842 §5.3). As the DTLS client, libdatachannel may lose its ClientHello if the other side's ICE is not
     * connected yet. This happens with Firefox and with libdatachannel itself (its issue 1554). It then sends the next
     * one only after 1 s, while browsers and aiortc do so within 0.2 s. As the client it may also hang over TURN (its
     * pull request 1630). So it is the client only when both sides are libdatachannel, as the side that offers, whose
     * ICE connects last.
     *
     * Milliseconds until open, median and maximum of 16 calls. From Node to: Node 13 and 1,011 (80 calls, one over
     * 200), Chromium 70 and 83, Firefox 91 and 194, aiortc 41 and 300. To Node from: Chromium 18 and 77, Firefox 40 and
     * 269, aiortc 33 and 40. With `active` in Node's offer, Node to Firefox took 1,023 and 1,079. With `active` in its
     * answer, 7 of 16 calls from Firefox took 1 s.
     *
     * In manual mode the answering side is the client. A libdatachannel that offers may finish DTLS before it has stored
     * the other side's fingerprint, and the connection then fails (its pull request 1612; 1 in 40 as the client, 1 in 230
     * as the server, on a busy machine). In a call the caller tries again, but manual mode has no second try. See also
     * `HOLD_MS` in manual.ts.
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
        sdp: type === 'offer' ? sdp.replace('a=setup:actpass', `a=setup:${offererRole}`) : sdp,
      })
    }

    override async getStats(): Promise<RTCStatsReport> {
      const report = await super.getStats()
      for (const entry of report.values()) {
        // libdatachannel reports milliseconds. webrtc-stats §8.4 requires seconds.
        if (entry.type === 'candidate-pair') entry.currentRoundTripTime /= 1000
      }
      return report
    }
  }
  // libdatachannel cannot restart ICE. We remove the method, so that its absence can be detected; the polyfill's
  // throws.
  Object.defineProperty(NodePeerConnection.prototype, 'restartIce', { value: undefined })
  return NodePeerConnection
}

/**
 * The URLs of an entry that libjuice can use: STUN and TURN over UDP [PP28]. We drop the others, because a single one
 * of another kind makes the whole connection fail. Of the rest, libdatachannel picks one STUN and two TURN servers at
 * random.
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
