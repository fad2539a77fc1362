// A program for Node is often compiled without TypeScript's `dom` library. The SDK's types name these, so there they
// are empty; where the library is, this adds nothing to it.
declare global {
  interface AbortSignal {}
  interface RTCConfiguration {}
  interface RTCDataChannel {}
  interface RTCDataChannelInit {}
  interface RTCIceServer {}
  interface RTCPeerConnection {}
  interface RTCSessionDescriptionInit {}
  interface RTCStatsReport {}
}

/** What a browser calls RTCPeerConnection: passed in by the application, the browser's, or node-datachannel's. */
export type PeerConnectionClass = new (configuration?: RTCConfiguration) => RTCPeerConnection
