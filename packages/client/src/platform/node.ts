import type { Platform, WebSocketClass } from './platform.js'
import { leaveOnExit } from './leave-on-exit.js'
import { loadNodeDataChannel } from './node-rtc.js'
import type { PeerConnectionClass } from '../p2p/options.js'
import { whyNotOpened } from './why-not-opened.js'

/** Node's own, from undici: nobody else's source names what checks its arguments. */
const isNodesOwn = (Socket: WebSocketClass): boolean =>
  /\bwebidl\b/.test(Function.prototype.toString.call(Socket))

/**
 * The application's, where it has set one: with an authority of its own, or a proxy. Else that of `ws`: Node has its own
 * since 22, which hides why a connection could not be made. That is taken where `ws` is not to be had.
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

export async function findNodePeerConnection(): Promise<PeerConnectionClass> {
  const platform: PeerConnectionClass | undefined = globalThis.RTCPeerConnection
  return platform ?? loadNodeDataChannel()
}

/** Node, with the way to load `ws`: a bundle in one file has it already. */
export function nodePlatform(loadWs: () => Promise<{ WebSocket: WebSocketClass }>): Platform {
  return {
    findWebSocket: findNodeWebSocket(loadWs),
    findPeerConnection: findNodePeerConnection,
    whyNotOpened,
    leaveOnExit,
  }
}
