import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Nodes } from '@peerage/core'
import { formatAddress, parseAnnouncement, type Announcement } from '@peerage/node-links'
import type { NodeId } from '@peerage/protocol'
import type { Config } from '../config/schema.js'
import { reasonOf } from '../lib/reason.js'
import type { Finding } from './doctor-checks.js'

/** A node in the same network answers within milliseconds. */
const ANSWER_WITHIN_MS = 2_000
/** Of so many nodes each is named; a whole tier that is out of reach needs no more to be understood. */
const NAMED_MOST = 8

type Outcome =
  | { state: 'reached'; address: string }
  | { state: 'silent' }
  | { state: 'unreached'; problem: string }

const subject = 'links'

/** Whether this machine reaches the other nodes directly, as they tell it to. A node without links needs none of it. */
export async function checkLinks({ links }: Config, nodes: Nodes): Promise<Finding[]> {
  if (links.host === null) {
    const text = 'off: messages between nodes go through Redis; links.host lets them go directly'
    return [{ verdict: 'ok', subject, text }]
  }
  await nodes.refresh()
  const live = nodes.list().filter(({ status }) => status.state === 'live')
  if (live.length === 0) return [{ verdict: 'ok', subject, text: 'on; no other node is live to be tried' }]
  const outcomes = await Promise.all(live.map(({ node }) => tryNode(node, nodes, links.plain)))
  return [...reached(outcomes), ...silent(outcomes), ...unreached(outcomes)]
}

async function tryNode(node: NodeId, nodes: Nodes, plain: boolean): Promise<Outcome> {
  const unreached = (problem: string, advice: string): Outcome => ({
    state: 'unreached',
    problem: `node ${node} ${problem}; messages to it go through Redis. ${advice}`,
  })
  const text = await nodes.announced(node)
  if (text === undefined) return { state: 'silent' }
  const announcement = parseAnnouncement(text)
  if (announcement === undefined)
    return unreached('announces what this version does not understand', 'Run one version everywhere')
  if (plain !== (announcement.proof.type === 'token'))
    return unreached(`has links ${plain ? 'with' : 'without'} TLS`, 'Set links.plain to the same everywhere')
  const address = formatAddress(announcement.address)
  try {
    await open(announcement)
    return { state: 'reached', address }
  } catch (error) {
    const advice = 'Open its links.port in firewalls, or set its links.advertise'
    return unreached(`at ${address}: ${reasonOf(error)}`, advice)
  }
}

/** Opens a connection as a link would, as far as the proof that this machine can check, and ends it. */
async function open({ address: { host, port }, proof }: Announcement): Promise<void> {
  if (proof.type === 'token') {
    const socket = connect({ host, port })
    return await once(socket, 'connect').finally(() => socket.destroy())
  }
  // No authority signs it: the announced digest is what makes it the right one.
  const socket = connectTls({ host, port, minVersion: 'TLSv1.3', rejectUnauthorized: false })
  try {
    await once(socket, 'secureConnect')
    const raw = socket.getPeerX509Certificate()?.raw ?? ''
    if (createHash('sha256').update(raw).digest('hex') !== proof.sha256)
      throw new Error('its certificate is not the announced one: something else answers there')
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
      reject(new Error('it hangs up'))
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
  const count = outcomes.filter(({ state }) => state === 'silent').length
  if (count === 0) return []
  const text = `${count} of ${outcomes.length} live nodes have links off: set links.host there, too`
  return [{ verdict: 'warn', subject, text }]
}

function unreached(outcomes: readonly Outcome[]): Finding[] {
  const problems = outcomes.flatMap((outcome) => (outcome.state === 'unreached' ? [outcome.problem] : []))
  const findings = problems.slice(0, NAMED_MOST).map((text): Finding => ({ verdict: 'warn', subject, text }))
  const more = problems.length - findings.length
  if (more > 0) findings.push({ verdict: 'warn', subject, text: `and ${more} more nodes` })
  return findings
}

function named(addresses: readonly string[]): string {
  const shown = addresses.slice(0, NAMED_MOST).join(', ')
  return addresses.length > NAMED_MOST ? `${shown}, …` : shown
}
