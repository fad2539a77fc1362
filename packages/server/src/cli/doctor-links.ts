import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Nodes } from '@peerage/core'
import { parseAnnouncement, type Announcement } from '@peerage/node-links'
import { formatHostPort, parseHostPort, type NodeId } from '@peerage/protocol'
import { isEveryAddress, isLoopback } from '../config/hosts.js'
import type { Config } from '../config/schema.js'
import { reasonOf } from '../lib/reason.js'
import type { Finding } from './doctor-checks.js'

/** A node in the same network answers within milliseconds. */
const ANSWER_WITHIN_MS = 2_000
/** At most this many nodes are named. When a whole cluster is out of reach, more names do not help. */
const NAMED_MOST = 8

type Outcome =
  | { state: 'reached'; address: string }
  | { state: 'silent'; node: NodeId }
  | { state: 'unreached'; problem: string }

const subject = 'links'

/**
 * Whether this machine reaches the other nodes at the addresses that they announce. `localAddress` is the address from
 * which it reaches Redis.
 */
export async function checkLinks(
  config: Config,
  nodes: Nodes,
  localAddress: string | undefined,
): Promise<Finding[]> {
  await nodes.refresh()
  const live = nodes.list().filter(({ status }) => status.state === 'live')
  if (config.links.host === null) return [await whereOff(live, nodes)]
  const own = checkOwn(config.links, localAddress)
  if (live.length === 0)
    return [{ verdict: 'ok', subject, text: 'on; no other node is live, so there is none to try' }, ...own]
  const outcomes = await Promise.all(live.map(({ node }) => tryNode(node, nodes, config)))
  const findings = [...reached(outcomes), ...silent(outcomes), ...unreached(outcomes)]
  if (outcomes.some(({ state }) => state !== 'reached'))
    findings.push({
      verdict: 'ok',
      subject,
      text: 'the id of a node is the field `node` in each line of its own log',
    })
  return [...findings, ...own]
}

async function whereOff(live: readonly { node: NodeId }[], nodes: Nodes): Promise<Finding> {
  const text = 'off: messages between nodes go through Redis; with links.host they go directly'
  const announced = await Promise.all(live.map(({ node }) => nodes.announced(node)))
  const on = announced.filter((one) => one !== undefined).length
  if (on === 0) return { verdict: 'ok', subject, text }
  return {
    verdict: 'warn',
    subject,
    text: `${text}; ${on} other live ${on === 1 ? 'node has' : 'nodes have'} them on`,
  }
}

/** Warns when the node of this configuration would announce an address that the others cannot reach. */
function checkOwn({ host, advertise }: Config['links'], localAddress: string | undefined): Finding[] {
  if (host === null || isLoopback(host)) return []
  const told = parseHostPort(advertise)?.host ?? (isEveryAddress(host) ? localAddress : host)
  if (told === undefined || !isLoopback(told)) return []
  const text = `this node announces ${told}, which only this machine can reach: set links.advertise to an address that the others reach`
  return [{ verdict: 'warn', subject, text }]
}

async function tryNode(node: NodeId, nodes: Nodes, { links, times }: Config): Promise<Outcome> {
  const unreached = (problem: string): Outcome => ({ state: 'unreached', problem: `node ${node} ${problem}` })
  const text = await nodes.announced(node)
  if (text === undefined) return { state: 'silent', node }
  const announcement = parseAnnouncement(text)
  if (announcement === undefined)
    return unreached('announces something that this version does not understand. Run one version everywhere')
  if (links.plain !== (announcement.proof.type === 'token')) {
    const is = links.plain ? 'with' : 'without'
    return unreached(
      `has links ${is} TLS, and these settings do not: messages between the two go through Redis. Set links.plain to the same everywhere`,
    )
  }
  const address = formatHostPort(announcement.address)
  if (isLoopback(announcement.address.host) && links.host !== null && !isLoopback(links.host))
    return unreached(
      `announces ${address}, which only its own machine can reach. Set its links.advertise to an address that the others reach`,
    )
  try {
    await open(announcement)
    return { state: 'reached', address }
  } catch (error) {
    return unreached(`at ${address}: ${adviceFor(error, times.nodeLeaseMs / 1_000)}`)
  }
}

function adviceFor(error: unknown, seconds: number): string {
  const lapse = `it is listed for up to ${seconds} s after (times.nodeLeaseMs)`
  if (error instanceof WrongCertificate)
    return `its certificate is not the announced one: another node or program answers there. Give each node a links.advertise of its own. If that node was restarted just now, ${lapse}`
  return `${reasonOf(error)}. If it cannot connect to this machine either, messages between the two go through Redis. Open its links.port in firewalls, or set its links.advertise. If it has died just now, ${lapse}`
}

/** The certificate at the address of a node is not the one that the node has announced. */
class WrongCertificate extends Error {}

/** Opens a connection as a link does, up to the proof that this machine can check. Then it ends the connection. */
async function open({ address: { host, port }, proof }: Announcement): Promise<void> {
  if (proof.type === 'token') {
    const socket = connect({ host, port })
    return await once(socket, 'connect').finally(() => socket.destroy())
  }
  // No authority signs the certificate. It is right when its digest is the announced one.
  const socket = connectTls({ host, port, minVersion: 'TLSv1.3', rejectUnauthorized: false })
  try {
    await once(socket, 'secureConnect')
    const raw = socket.getPeerX509Certificate()?.raw ?? ''
    if (createHash('sha256').update(raw).digest('hex') !== proof.sha256) throw new WrongCertificate()
  } finally {
    socket.destroy()
  }
}

function once(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      socket.destroy(new Error(`no answer within ${ANSWER_WITHIN_MS} ms`))
    }, ANSWER_WITHIN_MS)
    socket.once(event, resolve).on('error', reject)
    socket.once('close', () => {
      clearTimeout(late)
      reject(new Error('the other side closed the connection'))
    })
  })
}

function reached(outcomes: readonly Outcome[]): Finding[] {
  const addresses = outcomes.flatMap((outcome) => (outcome.state === 'reached' ? [outcome.address] : []))
  if (addresses.length === 0) return []
  const text = `${addresses.length} of ${outcomes.length} live nodes can be reached: ${named(addresses)}`
  return [{ verdict: 'ok', subject, text }]
}

function silent(outcomes: readonly Outcome[]): Finding[] {
  const ids = outcomes.flatMap((outcome) => (outcome.state === 'silent' ? [outcome.node] : []))
  if (ids.length === 0) return []
  const text = `${ids.length} of ${outcomes.length} live nodes have links off: set links.host there, too (${named(ids)})`
  return [{ verdict: 'warn', subject, text }]
}

function unreached(outcomes: readonly Outcome[]): Finding[] {
  const problems = outcomes.flatMap((outcome) => (outcome.state === 'unreached' ? [outcome.problem] : []))
  const findings = problems.slice(0, NAMED_MOST).map((text): Finding => ({ verdict: 'warn', subject, text }))
  const more = problems.length - findings.length
  if (more > 0) findings.push({ verdict: 'warn', subject, text: `and ${more} more nodes` })
  return findings
}

function named(words: readonly string[]): string {
  const shown = words.slice(0, NAMED_MOST).join(', ')
  return words.length > NAMED_MOST ? `${shown}, …` : shown
}
