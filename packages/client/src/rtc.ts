/** What a browser calls RTCPeerConnection: passed in by the application, the browser's, or node-datachannel's. */
export type PeerConnectionClass = new (configuration?: RTCConfiguration) => RTCPeerConnection

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
