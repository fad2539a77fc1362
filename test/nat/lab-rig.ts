import { fileURLToPath } from 'node:url'
import { startCoturn, type Coturn } from '@peerage/test-support/coturn.js'
import { refuseFrozen, unlessFrozen } from '@peerage/test-support/libdatachannel.js'
import type { NatLab, Site } from '@peerage/test-support/nat-lab.js'
import { REPOSITORY, startNode, type Node } from '@peerage/test-support/node.js'
import type { Child } from '@peerage/test-support/process.js'
import type { RedisServer } from '@peerage/test-support/redis.js'

const LAB_PEER = fileURLToPath(new URL('lab-peer.mjs', import.meta.url))
const CLIENT = `${REPOSITORY}packages/client/dist/entries/node.js`
const TURN_SECRET = 'north'
/** Two cores run everything: nodes, coturn and two peers. */
const ONLINE_DEADLINE_MS = 20_000
/** The SDK's own two attempts of 15 s each, and a message through the server. */
const RESULT_DEADLINE_MS = 60_000

/** The servers on the public network of a lab: two nodes on one Redis, and coturn if there is TURN. */
export interface Cluster {
  readonly nodes: readonly [Node, Node]
  readonly coturn: Coturn | undefined
  stop(): Promise<void>
}

/** How a call ended. `server`: no channel, and the message went through the server instead. */
export type Result =
  | { path: 'direct' | 'relayed'; ms: number; local: End; remote: End }
  | { path: 'server'; ms: number; stage: string; error: string; sendMs: number }

interface End {
  type: string
  address: string
  port: number
}

/** `turn`: without coturn, with it, or with it and credentials of this lifetime. */
export async function startCluster(
  lab: NatLab,
  redis: RedisServer,
  turn: boolean | { ttlMs: number },
): Promise<Cluster> {
  const [host] = lab.pub.addresses
  const coturn =
    turn !== false
      ? await startCoturn({ secret: TURN_SECRET, hosts: lab.pub.addresses, inside: lab.pub })
      : undefined
  const ttl = typeof turn === 'object' ? ['--p2p-turn-ttl-ms', String(turn.ttlMs)] : []
  const turnArgs = coturn ? ['--p2p-turn-urls', coturn.turnUrl, ...ttl] : []
  const start = (address: string): Promise<Node> =>
    startNode({
      redisUrl: redis.url,
      through: lab.pub.through,
      args: ['--host', address, ...turnArgs],
      env: coturn ? { PEERAGE_P2P_TURN_SECRET: TURN_SECRET } : {},
    })
  const nodes = await Promise.all([start(host), start(lab.pub.addresses[1])])
  return {
    nodes: [nodes[0], nodes[1]],
    coturn,
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()))
      await coturn?.stop()
    },
  }
}

let calls = 0

/** Starts a new peer in each site, on different nodes. The peer behind a calls the peer behind b and sends a message. */
export async function call(lab: NatLab, cluster: Cluster, deadlineMs?: number): Promise<Result> {
  const [callee, caller] = [`callee-${++calls}`, `caller-${calls}`]
  const [one, other] = cluster.nodes
  const bob = await startPeer(lab.b, { url: other.url, name: callee })
  const alice = await startPeer(lab.a, { url: one.url, name: caller })
  try {
    return await callBetween(alice, bob, { deadlineMs })
  } finally {
    await Promise.all([alice.stop(), bob.stop()])
  }
}

interface CallOptions {
  deadlineMs?: number | undefined
  /** Whether the caller closes the channel. */
  hangUp?: boolean
}

/** Alice calls Bob and sends a message. Resolves with how the call ended, once Bob has received the message. */
export async function callBetween(alice: LabPeer, bob: LabPeer, options: CallOptions = {}): Promise<Result> {
  const said = `hello ${++calls}`
  const result = await unlessFrozen([alice, bob], async () => {
    alice.call(bob.name, said, options)
    const told = await alice.line((line) => resultOf(line, said), RESULT_DEADLINE_MS)
    const heard = told.path === 'server' ? 'message' : 'channel-message'
    try {
      // The caller's report alone is not enough. The other application must also have received the message.
      await bob.line((line) => isHeard(line, heard, alice.name, said) || undefined, ONLINE_DEADLINE_MS)
    } catch (error) {
      throw new Error(`the callee said:\n${bob.output()}`, { cause: error })
    }
    return told
  })
  // If a library froze, the SDK may get no channel and go on without one.
  if (result.path === 'server') await refuseFrozen([alice, bob], result.stage)
  return result
}

/** A peer of the SDK in its own process. */
export interface LabPeer extends Child {
  readonly name: string
  /** Calls another peer. The outcome is printed as a line, see `resultOf`. */
  call(name: string, say: string, options?: CallOptions): void
}

interface LabPeerOptions {
  url: string
  name: string
  relayOnly?: boolean
  /** The package whose RTCPeerConnection it gets; by default node-datachannel, which the SDK finds by itself. */
  stack?: string
  /** Signals only relayed candidates, so that there is no channel without TURN. This hides no address. */
  throughTurn?: boolean
}

/** Starts a peer at this site, and waits until it is online. */
export async function startPeer(site: Pick<Site, 'start'>, options: LabPeerOptions): Promise<LabPeer> {
  const args = [LAB_PEER, JSON.stringify({ client: CLIENT, ...options })]
  const child = await site.start({ command: process.execPath, args, input: true })
  await child.line((line) => eventOf(line)?.['event'] === 'online' || undefined, ONLINE_DEADLINE_MS)
  const { name } = options
  return { ...child, name, call: (to, say, more) => child.tell(JSON.stringify({ call: to, say, ...more })) }
}

export function eventOf(line: string): Record<string, unknown> | undefined {
  return line.startsWith('{"event"') ? JSON.parse(line) : undefined
}

export function resultOf(line: string, said: string): Result | undefined {
  const told = eventOf(line)
  // Lines that our own program wrote.
  return told?.['event'] === 'result' && told['said'] === said ? (JSON.parse(line) as Result) : undefined
}

export function isHeard(line: string, event: string, from: string, data: string): boolean {
  const told = eventOf(line)
  return told?.['event'] === event && told['from'] === from && told['data'] === data
}
