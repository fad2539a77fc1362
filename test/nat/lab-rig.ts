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
/** Two cores carry all of it: nodes, coturn, two peers. */
const ONLINE_DEADLINE_MS = 20_000
/** The SDK's own two tries of 15 s, and a way through the server. */
const RESULT_DEADLINE_MS = 60_000

/** What runs on the public network of a lab: two nodes on one Redis, and coturn where there is TURN. */
export interface Tier {
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

/** `turn`: without coturn, with it, or with it and credentials that live so long. */
export async function startTier(
  lab: NatLab,
  redis: RedisServer,
  turn: boolean | { ttlMs: number },
): Promise<Tier> {
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

/** A fresh peer in each site, on different nodes; the one behind a calls the one behind b, and says something. */
export async function call(lab: NatLab, tier: Tier, deadlineMs?: number): Promise<Result> {
  const [callee, caller] = [`callee-${++calls}`, `caller-${calls}`]
  const [one, other] = tier.nodes
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

/** One calls the other and says something; how that ended, once the other has heard it. */
export async function callBetween(alice: LabPeer, bob: LabPeer, options: CallOptions = {}): Promise<Result> {
  const said = `hello ${++calls}`
  const result = await unlessFrozen([alice, bob], async () => {
    alice.call(bob.name, said, options)
    const told = await alice.line((line) => resultOf(line, said), RESULT_DEADLINE_MS)
    const heard = told.path === 'server' ? 'message' : 'channel-message'
    try {
      // What the caller was told is one half; the other application has it.
      await bob.line((line) => isHeard(line, heard, alice.name, said) || undefined, ONLINE_DEADLINE_MS)
    } catch (error) {
      throw new Error(`the callee said:\n${bob.output()}`, { cause: error })
    }
    return told
  })
  // The SDK may get no channel from a library that is frozen, and live on.
  if (result.path === 'server') await refuseFrozen([alice, bob], result.stage)
  return result
}

/** A peer of the SDK in a process of its own. */
export interface LabPeer extends Child {
  readonly name: string
  /** Calls another; what came of it is in a line, see `resultOf`. */
  call(name: string, say: string, options?: CallOptions): void
}

interface LabPeerOptions {
  url: string
  name: string
  relayOnly?: boolean
  /** The package whose RTCPeerConnection it is given; node-datachannel, which the SDK finds by itself, when absent. */
  stack?: string
  /** Its candidates are relayed ones alone, so that there is no channel without TURN. It hides nothing. */
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
  // Our own program's words, line by line.
  return told?.['event'] === 'result' && told['said'] === said ? (JSON.parse(line) as Result) : undefined
}

export function isHeard(line: string, event: string, from: string, data: string): boolean {
  const told = eventOf(line)
  return told?.['event'] === event && told['from'] === from && told['data'] === data
}
