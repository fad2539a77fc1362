import type { Ground } from './ground.js'
import { loadNodeDataChannel } from './rtc-node.js'
import type { PeerConnectionClass } from './rtc.js'
import type { WebSocketClass } from './websocket-transport.js'

/** Node has its own WebSocket from 22 on; before that the one of `ws` takes its place. */
export function findNodeWebSocket(
  loadWs: () => Promise<{ WebSocket: WebSocketClass }>,
): Ground['findWebSocket'] {
  return async () => (typeof WebSocket === 'function' ? WebSocket : (await loadWs()).WebSocket)
}

export async function findNodePeerConnection(): Promise<PeerConnectionClass> {
  const platform: PeerConnectionClass | undefined = globalThis.RTCPeerConnection
  return platform ?? loadNodeDataChannel()
}
