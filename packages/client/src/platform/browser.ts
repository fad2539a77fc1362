import type { Platform } from './platform.js'
import { nodeProcess } from './node-process.js'
import type { PeerConnectionClass } from '../p2p/options.js'

/** Browsers, and other platforms with the same interfaces: service workers, workerd, Deno. */
export const browser: Platform = {
  async findWebSocket() {
    if (typeof WebSocket === 'function') return WebSocket
    throw new Error(`no WebSocket here: ${whatToDo()}`)
  },
  async findPeerConnection() {
    const found: PeerConnectionClass | undefined = globalThis.RTCPeerConnection
    if (found) return found
    throw new Error(`no WebRTC here: ${whatToDo()}. Or pass RTCPeerConnection`)
  },
}

/** No browser has WebRTC in workers. Node runs this file if a bundler chose the package's entry for browsers. */
function whatToDo(): string {
  return nodeProcess()
    ? 'bundle for Node with the export condition "node"'
    : 'browsers have it in windows, not in workers'
}
