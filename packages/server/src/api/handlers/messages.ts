import { peerOf, type App, type Name } from '@peerage/protocol'
import { broadcast } from '../broadcasts.js'
import type { ApiDependencies } from '../dependencies.js'
import { operations } from '../operations.js'
import { Places } from '../places.js'
import { done, refuse, storeUnavailable } from '../replies.js'
import { route } from '../route.js'
import type { Sent } from '../server-peers.js'

const BUSY_RETRY_MS = 1_000

const BUSY = refuse(
  'rate-limited',
  'too many messages of this app, or to this peer, are under way on this node; wait for their answers',
  BUSY_RETRY_MS,
)
const BROADCASTING = refuse(
  'rate-limited',
  'a broadcast of this app is under way on this node; wait for its end, or ask another node',
  BUSY_RETRY_MS,
)
const DRAINING = refuse(
  'draining',
  'this node is shutting down; send the request to another node',
  BUSY_RETRY_MS,
)
const INCOMPATIBLE = refuse(
  'incompatible',
  'only peers with the SDK get messages of application servers: this peer has another client, such as PeerJS or matchbox, or an SDK that cannot read the message',
)
const TOO_LARGE = refuse(
  'too-large',
  'the message is too long: to a peer at most 196,599 characters of ASCII, to a room 49,151',
)

const STORE_UNAVAILABLE = storeUnavailable(operations.sendToPeer.outage)

/** Messages to peers, to all peers and to rooms. */
export function messageRoutes(dependencies: ApiDependencies) {
  const { node, peers } = dependencies
  const places = new Places()
  const broadcasts = new Set<App>()

  /** `rate-limited` also if the app, or this recipient, has too many messages under way. */
  async function send(
    app: App,
    to: Name,
    { data, timeoutMs, signal }: { data: unknown; timeoutMs: number; signal: AbortSignal | undefined },
  ): Promise<Sent | 'away'> {
    const sent = await places.send(app, to, () =>
      peers.send(app, to, data, { deadlineMs: timeoutMs, signal }),
    )
    if (sent !== 'timeout') return sent ?? 'rate-limited'
    // The SDK waits for a peer that is away, in case it comes back.
    const [seen] = await node.lookup([peerOf(app, to)])
    return seen?.state === 'away' ? 'away' : 'timeout'
  }

  return {
    sendToPeer: route(
      operations.sendToPeer,
      async ({ app, params: { name }, body: { timeoutMs, ...content }, signal }) => {
        if (node.draining) return DRAINING
        const result = await send(app, name, { data: contentOf(content), timeoutMs, signal })
        switch (result) {
          case 'incompatible':
            return INCOMPATIBLE
          case 'too-large':
            return TOO_LARGE
          case 'rate-limited':
            return BUSY
          case 'store-unavailable':
            return STORE_UNAVAILABLE
          case 'delivered':
          case 'away':
          case 'unavailable':
          case 'timeout':
            return done({ result })
        }
      },
      ({ timeoutMs }) => timeoutMs,
    ),

    sendToPeers: route(
      operations.sendToPeers,
      async ({ app, body: { to, timeoutMs, ...content }, signal }) => {
        if (node.draining) return DRAINING
        if (!places.hasRoom(app, to.length)) return BUSY
        const message = { data: contentOf(content), timeoutMs, signal }
        const results = await Promise.all(
          to.map(async (name) => ({ name, result: await send(app, name, message) })),
        )
        // All get the same message, so it is too large for all of them.
        const fitting = results.flatMap(({ name, result }) =>
          result === 'too-large' ? [] : [{ name, result }],
        )
        return fitting.length === results.length ? done({ results: fitting }) : TOO_LARGE
      },
      ({ timeoutMs }) => timeoutMs,
    ),

    broadcast: route(operations.broadcast, async ({ app, body }) => {
      if (node.draining) return DRAINING
      if (broadcasts.has(app)) return BROADCASTING
      broadcasts.add(app)
      const end = (): void => void broadcasts.delete(app)
      try {
        const count = await node.listing.count(app)
        void broadcast(dependencies, app, { data: contentOf(body), chars: charsOf(body) }).finally(end)
        return done({ result: 'accepted' as const, peers: count })
      } catch (error) {
        end()
        throw error
      }
    }),

    sendToRoom: route(operations.sendToRoom, async ({ app, params: { room }, body }) => {
      if (node.draining) return DRAINING
      const sent = await places.say(app, () => peers.say(app, room, contentOf(body)))
      if (sent === 'delivered') return done({ result: 'sent' as const })
      if (sent === 'too-large') return TOO_LARGE
      return sent === undefined || sent === 'rate-limited' ? BUSY : STORE_UNAVAILABLE
    }),
  }
}

/** The JSON value or the bytes of a body that has exactly one of the two. */
function contentOf({ data, base64 }: { data?: unknown; base64?: string | undefined }): unknown {
  return base64 === undefined ? data : new Uint8Array(Buffer.from(base64, 'base64'))
}

/** The length of the content of a body, as it is sent. */
function charsOf({ data, base64 }: { data?: unknown; base64?: string | undefined }): number {
  return (base64 ?? JSON.stringify(data)).length
}
