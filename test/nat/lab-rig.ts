import { fileURLToPath } from 'node:url'
import { startCoturn, type Coturn } from '../support/coturn.js'
import type { NatLab, Site } from '../support/nat-lab.js'
import { REPOSITORY, startNode, type Node } from '../support/node.js'
import type { Child } from '../support/process.js'
import type { RedisServer } from '../support/redis.js'

const LAB_PEER = fileURLToPath(new URL('lab-peer.mjs', import.meta.url))
const CLIENT = `${REPOSITORY}packages/client/dist/index.js`
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
  | { path: 'server'; ms: number; stage: string; sendMs: number }

interface End {
  type: string
  address: string
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
  const [callee, caller, said] = [`callee-${++calls}`, `caller-${calls}`, `hello ${calls}`]
  const [one, other] = tier.nodes
  const bob = await startPeer(lab.b, { url: other.url, name: callee })
  const alice = await startPeer(lab.a, { url: one.url, name: caller, call: callee, say: said, deadlineMs })
  try {
    const result = await alice.line((line) => resultOf(line), RESULT_DEADLINE_MS)
    const heard = result.path === 'server' ? 'message' : 'channel-message'
    // What the caller was told is one half; the other application has it.
    await bob.line((line) => (isHeard(line, heard, caller, said) ? true : undefined), ONLINE_DEADLINE_MS)
    return result
  } catch (error) {
    throw new Error(`the callee said:\n${bob.output()}`, { cause: error })
  } finally {
    await Promise.all([alice.stop(), bob.stop()])
  }
}

interface LabPeer {
  url: string
  name: string
  /** Whom to call, and what to say then; without it, it waits to be called. */
  call?: string
  say?: string
  deadlineMs?: number | undefined
  relayOnly?: boolean
}

/** A peer of the SDK in a process of its own, at this site, once it is online. */
export async function startPeer(site: Site, options: LabPeer): Promise<Child> {
  const args = [LAB_PEER, JSON.stringify({ client: CLIENT, ...options })]
  const peer = await site.start({ command: process.execPath, args })
  await peer.line((line) => (eventOf(line)?.['event'] === 'online' ? true : undefined), ONLINE_DEADLINE_MS)
  return peer
}

function eventOf(line: string): Record<string, unknown> | undefined {
  return line.startsWith('{"event"') ? JSON.parse(line) : undefined
}

export function resultOf(line: string): Result | undefined {
  // Our own program's words, line by line.
  return eventOf(line)?.['event'] === 'result' ? (JSON.parse(line) as Result) : undefined
}

export function isHeard(line: string, event: string, from: string, data: string): boolean {
  const told = eventOf(line)
  return told?.['event'] === event && told['from'] === from && told['data'] === data
}
