import type { Platform } from './ground.js'
import type { PeerConnectionClass } from './rtc.js'

/** Browsers, and whatever else has what browsers have: service workers, workerd, Deno. */
export const browser: Platform = {
  async findWebSocket() {
    if (typeof WebSocket === 'function') return WebSocket
    throw new Error(`no WebSocket here: ${whatToDo()}`)
  },
  async findPeerConnection() {
    const found: PeerConnectionClass | undefined = globalThis.RTCPeerConnection
    if (found) return found
    throw new Error(`no WebRTC here: ${whatToDo()}`)
  },
}

/** A worker has no WebRTC in any browser; Node has got this file from a bundler that was not told of it. */
function whatToDo(): string {
  if (globalThis.process?.versions?.node !== undefined)
    return 'a bundler took the SDK for browsers. Give it the export condition "node" (SDK docs/bundlers.md)'
  return 'browsers have it in windows, not in workers. Connect there, or pass RTCPeerConnection'
}
