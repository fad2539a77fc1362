/** What a browser calls RTCPeerConnection: passed in by the application, the browser's, or node-datachannel's. */
export type PeerConnectionClass = new (configuration?: RTCConfiguration) => RTCPeerConnection

/**
 * The class to make connections with: the given one, else the platform's, else node-datachannel's.
 * @throws when there is none
 */
export async function findPeerConnection(
  given: PeerConnectionClass | undefined,
): Promise<PeerConnectionClass> {
  const platform: PeerConnectionClass | undefined = globalThis.RTCPeerConnection
  const found = given ?? platform ?? (await (await import('./rtc-node.js')).loadNodeDataChannel())
  if (!found) throw new Error('no WebRTC here: install node-datachannel, or pass RTCPeerConnection')
  return found
}
