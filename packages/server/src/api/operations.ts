import type { z } from 'zod'
import type { ProblemCode } from './problems.js'
import { shapes } from './schemas.js'

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

/** One operation of the API: what it reads and answers. The router, the checks and the OpenAPI document follow from it. */
export interface Operation<
  P extends z.ZodType = z.ZodType,
  Q extends z.ZodType = z.ZodType,
  B extends z.ZodType = z.ZodType,
  A extends z.ZodType = z.ZodType,
> {
  method: Method
  /** Below the base, such as `peers/{name}`. */
  path: string
  tag: string
  summary: string
  description?: string
  params: P
  query: Q
  /** The longest body, in bytes. 0: the operation reads none. */
  bodyBytes: number
  body: B
  example?: unknown
  /** The answer to a request that was carried out. 204 has no body. */
  answer: { status: number; schema: A; example?: unknown }
  /** The problems of this operation, in addition to those that every operation has. */
  problems: readonly ProblemCode[]
  /** Whether the operation acts, so that an Idempotency-Key keeps it from acting twice. */
  isOnce: boolean
  /** What `store-unavailable` says: whether something may have been done, and what to do. */
  outage: string
}

const BODY_BYTES = 65_536
/** The SDK sends at most four parts of 48 KiB. What JSON escapes is longer. */
const MESSAGE_BYTES = 262_144

const { none, nothing } = shapes
/** What a change may have done when the store does not answer. */
const changed = (what: string): string => `the store did not answer; ${what} all the same. Try again`
const DISCONNECT_OUTAGE =
  'the store did not answer, so no connection was closed; the ban may have been written all the same. Try again'

const reads = {
  body: none,
  isOnce: false,
  bodyBytes: 0,
  outage: 'the store did not answer, so nothing was read; try again',
} as const
const acts = { isOnce: true, bodyBytes: BODY_BYTES } as const
const sends = {
  isOnce: true,
  bodyBytes: MESSAGE_BYTES,
  outage: changed('the message may have been delivered'),
} as const

const SINCE = 1_796_011_476_267
const onePeer = { name: 'alice', state: 'online', since: SINCE, node: 'k3J9sQ2x' }
const oneServer = { id: 'web-1', address: 'https://web-1.example', status: 'up' }

export const operations = {
  listPeers: {
    ...reads,
    method: 'GET',
    path: 'peers',
    tag: 'Peers',
    summary: 'List the peers of the app',
    description:
      'A page of the names that are online or away, on all nodes. The order is stable but has no meaning. A list that is read page by page shows every name that was there all the time; a name that comes or goes meanwhile may be missing.',
    params: none,
    query: shapes.peersPage,
    answer: { status: 200, schema: shapes.peers, example: { peers: [onePeer], next: 'WzAsIm…' } },
    problems: ['bad-cursor', 'store-unavailable'],
  },
  countPeers: {
    ...reads,
    method: 'GET',
    path: 'peers/count',
    tag: 'Peers',
    summary: 'Count the peers of the app',
    description:
      'How many names are online or away, without a list. A peer with the name `count` is found at `peers/%63ount`.',
    params: none,
    query: none,
    answer: { status: 200, schema: shapes.count, example: { count: 1_204 } },
    problems: ['store-unavailable'],
  },
  getPeer: {
    ...reads,
    method: 'GET',
    path: 'peers/{name}',
    tag: 'Peers',
    summary: 'Get one peer',
    description: 'Its presence now. A name that nobody holds is 404.',
    params: shapes.name,
    query: none,
    answer: { status: 200, schema: shapes.peer, example: onePeer },
    problems: ['not-found', 'store-unavailable'],
  },
  sendToPeer: {
    ...sends,
    method: 'POST',
    path: 'peers/{name}/messages',
    tag: 'Messages',
    summary: 'Send a message to a peer',
    description:
      'Waits until the SDK of the recipient has acknowledged the message, or `timeoutMs`. The recipient gets it as a `message` event whose last argument has `server: true`, from a name that the node made. Its answers to that name are refused. Messages of one node to one peer arrive in order. A peer of another client, such as PeerJS or matchbox, is 409 `incompatible`.',
    params: shapes.name,
    query: none,
    body: shapes.message,
    example: { data: { text: 'hello' }, timeoutMs: 10_000 },
    answer: { status: 200, schema: shapes.sent, example: { result: 'delivered' } },
    problems: ['incompatible', 'store-unavailable', 'draining'],
  },
  sendToPeers: {
    ...sends,
    method: 'POST',
    path: 'messages',
    tag: 'Messages',
    summary: 'Send a message to many peers',
    description:
      'As `sendToPeer`, to at most 100 names at once. Each has a result of its own, in the order of `to`.',
    params: none,
    query: none,
    body: shapes.batch,
    example: { to: ['alice', 'bob'], data: 'hello' },
    answer: {
      status: 200,
      schema: shapes.batchSent,
      example: {
        results: [
          { name: 'alice', result: 'delivered' },
          { name: 'bob', result: 'away' },
        ],
      },
    },
    problems: ['store-unavailable', 'draining'],
  },
  broadcast: {
    ...sends,
    outage: 'the store did not answer, so nothing was sent; try again',
    method: 'POST',
    path: 'broadcast',
    tag: 'Messages',
    summary: 'Send a message to all peers that are online',
    description:
      'Answers at once. The node then reads the list of peers page by page and sends to each that is online, with 10 seconds for each. There is no result, and it ends early if the node stops. PeerJS peers do not get it. One broadcast of an app runs on a node at a time; another is 429.',
    params: none,
    query: none,
    body: shapes.broadcast,
    example: { data: { notice: 'maintenance at noon' } },
    answer: { status: 202, schema: shapes.accepted, example: { result: 'accepted', peers: 1_204 } },
    problems: ['store-unavailable', 'draining'],
  },
  sendToRoom: {
    ...sends,
    method: 'POST',
    path: 'rooms/{room}/messages',
    tag: 'Rooms',
    summary: 'Send a message to a room',
    description:
      'Every member that is online gets it at most once, with `server: true`. `sent` says that the nodes of the members were told, and no more. A room message must fit into one frame: at most 49,151 characters of ASCII.',
    params: shapes.room,
    query: none,
    body: shapes.broadcast,
    example: { data: 'hello, everybody' },
    answer: { status: 200, schema: shapes.said, example: { result: 'sent' } },
    problems: ['store-unavailable', 'draining'],
  },
  listMembers: {
    ...reads,
    method: 'GET',
    path: 'rooms/{room}/members',
    tag: 'Rooms',
    summary: 'List the members of a room',
    description: 'A room without members is an empty list.',
    params: shapes.room,
    query: shapes.membersPage,
    answer: {
      status: 200,
      schema: shapes.members,
      example: { members: [{ name: 'alice', state: 'online', since: SINCE }] },
    },
    problems: ['bad-cursor', 'store-unavailable'],
  },
  disconnectPeer: {
    ...acts,
    outage: DISCONNECT_OUTAGE,
    method: 'POST',
    path: 'peers/{name}/disconnect',
    tag: 'Access',
    summary: 'Disconnect the holder of a name, and ban the name',
    description:
      'Closes the connection of the holder and frees the name. With `banMs` nobody can claim the name until then; the ban is written first. Without it, a peer that may come back can do so at once.',
    params: shapes.name,
    query: none,
    body: shapes.disconnect,
    example: { code: 4900, reason: 'you were reported', banMs: 3_600_000 },
    answer: { status: 200, schema: shapes.closed, example: { closed: 1, until: SINCE } },
    problems: ['too-many', 'store-unavailable'],
  },
  disconnectIdentity: {
    ...acts,
    outage: DISCONNECT_OUTAGE,
    method: 'POST',
    path: 'identities/{sub}/disconnect',
    tag: 'Access',
    summary: 'Disconnect all peers of an identity, and ban it',
    description:
      'As `disconnectPeer`, for every connection whose access rules named this identity, on all nodes.',
    params: shapes.identity,
    query: none,
    body: shapes.disconnect,
    example: { reason: 'signed out', banMs: 60_000 },
    answer: { status: 200, schema: shapes.closed, example: { closed: null, until: SINCE } },
    problems: ['too-many', 'store-unavailable'],
  },
  listBans: {
    ...reads,
    method: 'GET',
    path: 'bans',
    tag: 'Access',
    summary: 'List the bans and revocations',
    params: none,
    query: shapes.page,
    answer: {
      status: 200,
      schema: shapes.bans,
      example: { bans: [{ kind: 'name', value: 'alice', until: SINCE }] },
    },
    problems: ['bad-cursor', 'store-unavailable'],
  },
  liftBan: {
    ...reads,
    outage: changed('the ban may have been lifted'),
    method: 'DELETE',
    path: 'bans/{kind}/{value}',
    tag: 'Access',
    summary: 'End a ban or a revocation',
    description: 'At once, on all nodes. One that is not there is 404.',
    params: shapes.ban,
    query: none,
    answer: { status: 204, schema: nothing },
    problems: ['not-found', 'store-unavailable'],
  },
  mintToken: {
    ...acts,
    isOnce: false,
    outage: 'the store did not answer; try again',
    method: 'POST',
    path: 'tokens',
    tag: 'Access',
    summary: 'Mint an access token',
    description:
      'A JWT that a peer of the app can present, signed with the `access.token.secret` of the app. An app that has none is 409 `no-signing-key`: its tokens come from elsewhere. An Idempotency-Key has no effect, because nothing is changed, and tokens are not stored.',
    params: none,
    query: none,
    body: shapes.mint,
    example: { sub: 'alice', ttlMs: 600_000, peerage: { rooms: { prefixes: ['team-'] } } },
    answer: {
      status: 200,
      schema: shapes.minted,
      example: { token: 'eyJhbGciOiJIUzI1NiJ9…', jti: '5hPpP9cUQZm0m1oN', expiresAt: SINCE },
    },
    problems: ['no-signing-key'],
  },
  revokeTokens: {
    ...acts,
    outage:
      'the store did not answer, so no connection was closed; the revocation may have been written all the same. Try again',
    method: 'POST',
    path: 'revocations',
    tag: 'Access',
    summary: 'Revoke tokens',
    description:
      'One token by its `jti`, or all tokens of a `sub` that were issued before a time (default: now). Their connections are closed, and they are refused until the last of them has expired.',
    params: none,
    query: none,
    body: shapes.revoke,
    example: { jti: '5hPpP9cUQZm0m1oN' },
    answer: { status: 200, schema: shapes.revoked, example: { closed: null, until: SINCE } },
    problems: ['too-many', 'store-unavailable'],
  },
  listNodes: {
    ...reads,
    method: 'GET',
    path: 'nodes',
    tag: 'Cluster',
    summary: 'List the nodes of the cluster',
    description: 'As the answering node sees them. A dead node stays in the list until its names are free.',
    params: none,
    query: none,
    answer: { status: 200, schema: shapes.nodes, example: { nodes: [{ id: 'k3J9sQ2x', state: 'live' }] } },
    problems: [],
  },
  listServers: {
    ...reads,
    method: 'GET',
    path: 'servers',
    tag: 'Servers',
    summary: 'List the application servers',
    params: none,
    query: shapes.page,
    answer: { status: 200, schema: shapes.servers, example: { servers: [oneServer] } },
    problems: ['bad-cursor', 'store-unavailable'],
  },
  getServer: {
    ...reads,
    method: 'GET',
    path: 'servers/{id}',
    tag: 'Servers',
    summary: 'Get one application server',
    params: shapes.serverId,
    query: none,
    answer: { status: 200, schema: shapes.server, example: oneServer },
    problems: ['not-found', 'store-unavailable'],
  },
  putServer: {
    ...acts,
    isOnce: false,
    outage: changed('the registration may have been written'),
    method: 'PUT',
    path: 'servers/{id}',
    tag: 'Servers',
    summary: 'Register an application server, or renew it',
    description:
      'The registration ends after 30 seconds, so renew it every 10. An app may have 1,000 servers.',
    params: shapes.serverId,
    query: none,
    body: shapes.register,
    example: { address: 'https://web-1.example', status: 'up' },
    answer: { status: 200, schema: shapes.registered, example: { ...oneServer, ttlMs: 30_000 } },
    problems: ['too-many', 'store-unavailable'],
  },
  removeServer: {
    ...reads,
    outage: changed('the registration may have been removed'),
    method: 'DELETE',
    path: 'servers/{id}',
    tag: 'Servers',
    summary: 'Remove an application server',
    description: 'One that is not registered is 404.',
    params: shapes.serverId,
    query: none,
    answer: { status: 204, schema: nothing },
    problems: ['not-found', 'store-unavailable'],
  },
} as const satisfies Record<string, Operation>

export type OperationId = keyof typeof operations

export const operationIds = Object.keys(operations).filter(isOperationId)

function isOperationId(text: string): text is OperationId {
  return Object.hasOwn(operations, text)
}
