import type { Peer } from '@peerage/client'
import type { Clock, OnError } from '@peerage/core'
import type { App, Name, Room } from '@peerage/protocol'
import type { ServerConnectionOptions } from './server-connection.js'
import { serverTransport } from './server-connection.js'

/** How long a send may wait until the node has a peer of its own. */
const CONNECT_MS = 5_000
/** The SDK needs a URL. No connection is made to it. */
const NOWHERE = 'http://localhost'

/** Loaded with the first message, because a node without the API needs no SDK. */
const sdk = () => import('@peerage/client')

/** How a message of an application server ended. */
export type Sent =
  | 'delivered'
  | 'unavailable'
  | 'timeout'
  | 'incompatible'
  | 'too-large'
  | 'rate-limited'
  | 'store-unavailable'

export interface ServerPeersOptions extends Omit<ServerConnectionOptions, 'app'> {
  clock: Clock
  onError: OnError
}

/**
 * The peers with which the API of this node sends: one for each app, made with its first message. Each is a peer of the SDK,
 * so its messages are delivered as those of every peer: in order, once, and acknowledged by the recipient's SDK.
 */
export class ServerPeers {
  readonly #options: ServerPeersOptions
  readonly #peers = new Map<App, Promise<Peer>>()
  #stopped = false

  constructor(options: ServerPeersOptions) {
    this.#options = options
  }

  /** Sends a JSON value or bytes to a peer. If the signal aborts, nobody waits for the result any more. Never rejects. */
  async send(
    app: App,
    to: Name,
    data: unknown,
    { deadlineMs, signal }: { deadlineMs: number; signal?: AbortSignal | undefined },
  ): Promise<Sent> {
    const peer = await this.#connected(app)
    if (peer === undefined) return 'store-unavailable'
    try {
      await peer.send(to, data, { deadlineMs, via: 'server', ...(signal && { signal }) })
      return 'delivered'
    } catch (error) {
      if (signal?.aborted) return 'timeout'
      return this.#resultOf(error)
    }
  }

  /** Sends a JSON value or bytes to the members of a room. Never rejects. */
  async say(app: App, room: Room, data: unknown): Promise<Sent> {
    const peer = await this.#connected(app)
    if (peer === undefined) return 'store-unavailable'
    try {
      const joined = await peer.join(room)
      try {
        await joined.send(data)
      } finally {
        await joined.leave()
      }
      return 'delivered'
    } catch (error) {
      return this.#resultOf(error)
    }
  }

  /** Gives up the peers of all apps but these. */
  async keepOnly(apps: ReadonlySet<App>): Promise<void> {
    await Promise.all([...this.#peers.keys()].filter((app) => !apps.has(app)).map((app) => this.#leave(app)))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.keepOnly(new Set())
  }

  async #leave(app: App): Promise<void> {
    const peer = this.#peers.get(app)
    this.#peers.delete(app)
    await (await peer?.catch(() => undefined))?.leave()
  }

  /** Undefined if the node cannot claim a name for its peer now. */
  async #connected(app: App): Promise<Peer | undefined> {
    return this.#peerOf(app).catch((error: unknown) => {
      this.#options.onError(error, { stage: 'api peer' })
      return undefined
    })
  }

  #peerOf(app: App): Promise<Peer> {
    if (this.#stopped) return Promise.reject(new Error('this node is stopping'))
    const known = this.#peers.get(app)
    if (known !== undefined) return known
    const peer = this.#connect(app)
    this.#peers.set(app, peer)
    const forget = (): void => {
      if (this.#peers.get(app) === peer) this.#peers.delete(app)
    }
    // After a final close, such as an identity that was taken over, the next message makes another peer.
    peer.then((connected) => connected.on('state', ({ state }) => state === 'closed' && forget()), forget)
    return peer
  }

  async #connect(app: App): Promise<Peer> {
    const { onError, clock } = this.#options
    const { connect } = await sdk()
    const peer = await connect(NOWHERE, {
      transport: serverTransport({ ...this.#options, app }),
      clock,
      storage: null,
      leaveOnExit: false,
      p2p: false,
      timeoutMs: CONNECT_MS,
      onRetry: () => {},
    })
    peer.on('error', (error) => onError(error, { stage: 'api peer' }))
    return peer
  }

  async #resultOf(error: unknown): Promise<Sent> {
    const { PeerageError } = await sdk()
    if (!(error instanceof PeerageError)) {
      this.#options.onError(error, { stage: 'api send' })
      return 'store-unavailable'
    }
    switch (error.code) {
      case 'unavailable':
      case 'timeout':
      case 'incompatible':
      case 'too-large':
      case 'rate-limited':
        return error.code
      case 'queue-full':
        return 'rate-limited'
      // The name of an application server (WR14). It takes no messages, and is in no list.
      case 'forbidden':
        return 'unavailable'
      default:
        return 'store-unavailable'
    }
  }
}
