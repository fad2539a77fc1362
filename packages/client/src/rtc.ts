/** What a browser calls RTCPeerConnection: passed in by the application, the browser's, or node-datachannel's. */
export type PeerConnectionClass = new (configuration?: RTCConfiguration) => RTCPeerConnection

/**
 * The class to make connections with: the given one, else the platform's, else node-datachannel's where it is
 * installed. Undefined: there is no WebRTC here.
 */
export async function findPeerConnection(
  given: PeerConnectionClass | undefined,
): Promise<PeerConnectionClass | undefined> {
  const platform: PeerConnectionClass | undefined = globalThis.RTCPeerConnection
  return given ?? platform ?? (await import('./rtc-node.js')).loadNodeDataChannel()
}
