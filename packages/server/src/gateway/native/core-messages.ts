import type { Message, Node, OnlineSession, Seen, ServerMessage } from '@peerage/core'
import type {
  ConnectionId,
  Name,
  NodeId,
  NodeMessageOf,
  PeerMessageOf,
  ProtocolError,
} from '@peerage/protocol'
import { appOf, encodeStamped, limits, peerOf, protocolError } from '@peerage/protocol'

// What the native wire and the core call the same things. The connections of peers and of application servers share it.

/** The message that a `send` of a session asks for. `stamp` is the beginning of its frame. */
export function messageFrom(
  { peer: from }: OnlineSession,
  send: PeerMessageOf<'send'>,
  { node, connection, stamp }: { node: NodeId; connection: ConnectionId; stamp: string },
): Message {
  const { to, since, stream, seq, kind, fresh, handshake } = send
  const message: Message = {
    from,
    to: peerOf(appOf(from), to),
    wire: 'native',
    since,
    kind,
    reply: { node, connection, ref: `${stream}:${seq}` },
    frame: encodeStamped(stamp, send),
  }
  if (fresh) message.fresh = true
  if (handshake !== undefined) message.handshake = handshake
  return message
}

/** The notice about a message that `messageFrom` made. */
export function noticeOf({
  to,
  ref,
  code,
}: Extract<ServerMessage, { type: 'notice' }>): NodeMessageOf<'notice'> {
  const colon = ref.indexOf(':')
  return { type: 'notice', to, stream: ref.slice(0, colon), seq: Number(ref.slice(colon + 1)), code }
}

export function presenceOf({
  name,
  state,
  since,
}: Extract<ServerMessage, { type: 'presence' }>): NodeMessageOf<'presence'> {
  return { type: 'presence', name, state, ...(since === undefined ? {} : { since }) }
}

/** Answers a `lookup`. Rejects with RegistryUnavailable. */
export async function lookUp(
  node: Pick<Node, 'lookup' | 'recovering'>,
  session: OnlineSession,
  { id, names }: PeerMessageOf<'lookup'>,
): Promise<NodeMessageOf<'found'> | ProtocolError> {
  const seen = await node.lookup(names.map((name) => peerOf(appOf(session.peer), name)))
  if (node.recovering && seen.some((one) => one.state === 'offline'))
    return protocolError('registry-unavailable', 'the registry has just come back')
  return found(id, names, seen)
}

/** Answers a `watch`. Rejects with RegistryUnavailable. */
export async function watch(
  { watchers }: Pick<Node, 'watchers'>,
  { connection, peer }: OnlineSession,
  { id, names }: PeerMessageOf<'watch'>,
): Promise<NodeMessageOf<'found'> | ProtocolError> {
  if (watchers.count(connection.id) + names.length > limits.watches)
    return protocolError('too-many', `at most ${limits.watches} names can be watched by one connection`)
  const peers = names.map((name) => peerOf(appOf(peer), name))
  const seen = await Promise.all(peers.map((one) => watchers.watch(connection.id, one)))
  return found(id, names, seen)
}

export function unwatch(
  { watchers }: Pick<Node, 'watchers'>,
  { connection, peer }: OnlineSession,
  { names }: PeerMessageOf<'unwatch'>,
): void {
  for (const name of names) watchers.unwatch(connection.id, peerOf(appOf(peer), name))
}

function found(id: number, names: readonly Name[], seen: readonly Seen[]): NodeMessageOf<'found'> {
  return { type: 'found', id, peers: names.map((name, i) => ({ name, ...(seen[i] ?? OFFLINE) })) }
}

const OFFLINE: Seen = { state: 'offline' }
