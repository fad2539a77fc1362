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

/** Any stack's: the types of some, such as werift's, differ from the browser's in what is not used here. */
export type AnyPeerConnectionClass = new (configuration?: never) => {
  createDataChannel: (...given: never[]) => object
  setRemoteDescription: (...given: never[]) => Promise<unknown>
}

/** What an application has passed in. What its types do not tell, its stack's tests do (docs/stacks.md). */
export function givenClass(given: AnyPeerConnectionClass | undefined): PeerConnectionClass | undefined {
  return given as PeerConnectionClass | undefined
}

/**
 * What `use` gives for these servers, or, where it throws, for those of them that it takes alone: a stack may know
 * fewer URLs, ports and transports than others, and one that it does not take must not cost the others.
 * @throws what `use` throws without any server
 */
export function withUsable<T>(
  servers: readonly RTCIceServer[],
  use: (servers: RTCIceServer[]) => T,
  dispose: (result: T) => void = () => undefined,
): T {
  try {
    return use([...servers])
  } catch {
    const each = servers.flatMap((server) => [server.urls].flat().map((urls) => ({ ...server, urls })))
    return use(
      each.filter((server) => {
        try {
          dispose(use([server]))
          return true
        } catch {
          return false
        }
      }),
    )
  }
}

/** A connection with those of its ICE servers that the stack can use. */
export function newConnection(
  PeerConnection: PeerConnectionClass,
  configuration: RTCConfiguration,
): RTCPeerConnection {
  return withUsable(
    configuration.iceServers ?? [],
    (iceServers) => new PeerConnection({ ...configuration, iceServers }),
    (connection) => connection.close(),
  )
}
