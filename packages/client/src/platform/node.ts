import type { Platform, WebSocketClass } from './platform.js'
import { leaveOnExit } from './leave-on-exit.js'
import { loadNodeDataChannel } from './node-rtc.js'
import type { PeerConnectionClass } from '../p2p/options.js'
import { whyNotOpened } from './why-not-opened.js'

/** Node's own WebSocket comes from undici, whose source is the only one that names `webidl`. */
const isNodesOwn = (Socket: WebSocketClass): boolean =>
  /\bwebidl\b/.test(Function.prototype.toString.call(Socket))

/**
 * Finds the WebSocket class [PP37]. If the application has set a global one, for example with its own certificate
 * authority or a proxy, we use that. Else we use that of `ws`, because Node's own one (since 22) does not say why a
 * connection failed. Node's own one is used only if `ws` cannot be loaded.
 */
function findNodeWebSocket(loadWs: () => Promise<{ WebSocket: WebSocketClass }>): Platform['findWebSocket'] {
  return async () => {
    const found = typeof WebSocket === 'function' ? WebSocket : undefined
    if (found && !isNodesOwn(found)) return found
    try {
      return (await loadWs()).WebSocket
    } catch (error) {
      if (found) return found
      throw error
    }
  }
}

const globalClass = (): PeerConnectionClass | undefined => globalThis.RTCPeerConnection

export async function findNodePeerConnection(): Promise<PeerConnectionClass> {
  return globalClass() ?? loadNodeDataChannel()
}

export async function findManualPeerConnection(): Promise<PeerConnectionClass> {
  return globalClass() ?? loadNodeDataChannel('manual')
}

/** The platform for Node. `loadWs` loads `ws`; in a single-file bundle it is already there. */
export function nodePlatform(loadWs: () => Promise<{ WebSocket: WebSocketClass }>): Platform {
  return {
    findWebSocket: findNodeWebSocket(loadWs),
    findPeerConnection: findNodePeerConnection,
    whyNotOpened,
    leaveOnExit,
  }
}
