import type { ConnectionId, NodeId, Peer } from '@peerage/protocol'
import { parseConnectionId, parseNodeId, parsePeer } from '@peerage/protocol'
import { randomBytes } from 'node:crypto'
import type { Backend, BackendEvent, OnError } from '../backend.js'
import type { MailboxLimits } from '../routing/mailbox.js'
import { memoryCluster } from '../memory/index.js'
import type { ClaimOptions, Lease, Owner } from '../names/registry.js'
import type { Times } from '../times.js'
import { defaultTimes } from '../times.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'

/** A node of a cluster under test: started, identified, and with one beat done. */
export interface ContractNode {
  node: NodeId
  backend: Backend
  events: BackendEvent[]
  errors: { error: unknown; stage: string }[]
}

/** A store under test. The contract suites run on it. */
export interface ContractCluster {
  times: Times
  /** Adds a node on the same store. */
  join(): Promise<ContractNode>
  /** A started backend without an identity. */
  backend(onError: OnError, onEvent: (event: BackendEvent) => void): Promise<Backend>
  /** Lets `ms` milliseconds pass: immediately on a fake clock, in real time on a real store. */
  pass(ms: number): Promise<void>
  /** Milliseconds on the clock that `pass` moves. */
  now(): number
  /** How far the store's clock and `now` may drift apart within a test, in milliseconds. */
  slackMs: number
  /** Makes the nodes' wall clocks jump. Their monotonic clocks do not. */
  jump(ms: number): void
  /** Deletes all keys. */
  flush(): Promise<void>
  /** Puts any payload on a node's inbox. */
  publishRaw(node: NodeId, payload: string): Promise<void>
  stop(): Promise<void>
}

/** What the tests of one suite share. */
export interface Given {
  cluster: ContractCluster
  a: ContractNode
  b: ContractNode
}

export type MakeCluster = (pace: Pace) => Promise<ContractCluster>

/** The times and limits of a cluster under test. */
export interface Pace {
  times: Times
  mailboxLimits: MailboxLimits
}

/** Nothing ends by itself while a test runs, however busy the machine is. For tests whose subject is not time. */
export const patient: Pace = {
  times: { ...defaultTimes, commandMs: 10_000, nodeLeaseMs: 60_000, nameTtlMs: 120_000 },
  mailboxLimits: { messages: 5, length: 4_000, expireMs: 60_000 },
}

/** Leases and queues end so soon that a test can wait for it. */
export const quick: Pace = {
  times: {
    ...defaultTimes,
    beatMs: 200,
    nodeLeaseMs: 1_000,
    pingIntervalMs: 400,
    pingTimeoutMs: 200,
    graceMs: 400,
    deadlineMs: 400,
    nameTtlMs: 3_000,
    // No test waits for this.
    commandMs: 10_000,
  },
  mailboxLimits: { messages: 5, length: 4_000, expireMs: 600 },
}

/** A wrapper that a suite may put around each backend. */
export type Wrap = (backend: Backend, onError: OnError) => Backend

/** The memory store on a fake clock of its own. */
export function memoryContractCluster(
  pace: Pace,
  wrap: Wrap = (backend) => backend,
): Promise<ContractCluster> {
  const clock = new FakeClock()
  const store = memoryCluster({ ...pace, clock })
  const backends: Backend[] = []
  const backend = async (onError: OnError, onEvent: (event: BackendEvent) => void): Promise<Backend> => {
    const made = wrap(store.backend({ onError }), onError)
    backends.push(made)
    await made.start(onEvent)
    return made
  }
  return Promise.resolve({
    times: pace.times,
    backend,
    join: () => joinWith(backend),
    pass: (ms) => clock.advance(ms),
    now: () => clock.monotonic(),
    slackMs: 0,
    jump: (ms) => clock.jump(ms),
    flush: () => {
      store.flush()
      return Promise.resolve()
    },
    publishRaw: (node, payload) => {
      store.post(node, payload)
      return Promise.resolve()
    },
    stop: async () => {
      for (const made of backends) await made.stop()
    },
  })
}

/** Makes a node out of a backend: gives it an identity and does its first beat. */
export async function joinWith(makeBackend: ContractCluster['backend']): Promise<ContractNode> {
  const events: BackendEvent[] = []
  const errors: { error: unknown; stage: string }[] = []
  const backend = await makeBackend(
    (error, context) => errors.push({ error, stage: context.stage }),
    (event) => events.push(event),
  )
  const node = newNodeId()
  backend.identify(node)
  await backend.nodes.beat()
  return { node, backend, events, errors }
}

/**
 * Waits until the probe returns true, while the nodes in `alive` keep beating. Returns how long that took, in
 * milliseconds of the cluster's clock since `from` (default: now).
 */
export async function until(
  cluster: Pick<ContractCluster, 'pass' | 'now' | 'times'>,
  what: string,
  probe: () => Promise<boolean> | boolean,
  options: { deadlineMs?: number; alive?: readonly ContractNode[]; from?: number } = {},
): Promise<number> {
  const { deadlineMs = PATIENCE_MS, alive = [], from = cluster.now() } = options
  const start = cluster.now()
  let beatAt = start
  while (!(await probe())) {
    if (cluster.now() - start > deadlineMs)
      throw new Error(`${what}: this did not happen within ${deadlineMs} ms`)
    await cluster.pass(POLL_MS)
    if (cluster.now() - beatAt < cluster.times.beatMs) continue
    beatAt = cluster.now()
    await Promise.all(alive.map((node) => node.backend.nodes.beat()))
  }
  return cluster.now() - from
}

const POLL_MS = 10
/** How long a test waits for something that should take a moment: a busy machine is not a failure. */
const PATIENCE_MS = 10_000
/** A grace that no test waits for. */
export const LONG_GRACE_MS = 60_000

export function newNodeId(): NodeId {
  return must(parseNodeId(randomBytes(6).toString('base64url')))
}

/** Empties the store, and lets these nodes notice. */
export async function flushed(cluster: ContractCluster, ...nodes: ContractNode[]): Promise<void> {
  await cluster.flush()
  for (const { backend } of nodes) await backend.nodes.beat()
}

/** A new connection of a node. */
export function ownerAt(at: ContractNode): Owner {
  return { node: at.node, connection: newConnectionId() }
}

let connections = 0
export function newConnectionId(): ConnectionId {
  return must(parseConnectionId(`c${(connections++).toString(36)}`))
}

/** A name that no other test uses. */
export function newPeer(app = 'contract'): Peer {
  return peer(`${app}/${randomBytes(6).toString('hex')}`)
}

export function peer(text: string): Peer {
  return must(parsePeer(text))
}

/** Stands for the hash of a reclaim secret: 128 bits. */
export function newSecretHash(): string {
  return randomBytes(16).toString('base64url')
}

export function must<T>(parsed: { ok: true; value: T } | { ok: false; problem: string }): T {
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

/** Claims a name on a node, or throws. For tests whose subject comes after the claim. */
export async function claimed(
  at: ContractNode,
  name: Peer,
  options: Partial<ClaimOptions> = {},
): Promise<Lease> {
  const result = await at.backend.registry.claim(name, ownerAt(at), {
    secretHash: newSecretHash(),
    policy: 'refuse',
    ...options,
  })
  if (!result.ok) throw new Error(`${name} is held by ${result.holder?.node ?? 'nobody known'}`)
  return result.lease
}
