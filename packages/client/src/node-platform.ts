import type { Ground } from './ground.js'
import { loadNodeDataChannel } from './rtc-node.js'
import type { PeerConnectionClass } from './rtc.js'
import type { WebSocketClass } from './websocket-transport.js'

/**
 * That of `ws`: Node has its own since 22, which hides why a connection could not be made. It is taken where `ws` is not
 * to be had.
 */
export function findNodeWebSocket(
  loadWs: () => Promise<{ WebSocket: WebSocketClass }>,
): Ground['findWebSocket'] {
  return async () => {
    try {
      return (await loadWs()).WebSocket
    } catch (error) {
      if (typeof WebSocket === 'function') return WebSocket
      throw error
    }
  }
}

export async function findNodePeerConnection(): Promise<PeerConnectionClass> {
  const platform: PeerConnectionClass | undefined = globalThis.RTCPeerConnection
  return platform ?? loadNodeDataChannel()
}
