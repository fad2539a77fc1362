import type { TcpProxy } from '@peerage/test-support/tcp-proxy.js'
import type { LinkReading } from '../links.js'
import { noteLinked, untilLinked, watchLinks } from '../links.js'
import type { Fault, Context } from '../context.js'
import { heal, inject, wait } from '../context.js'
import type { Member } from '../testbed.js'
import { linkProxiesOf } from '../testbed.js'

export interface Disturbance {
  id: string
  /** Which links, and how they are disturbed, for the history. */
  what: string
  ms: number
  /** The nodes whose counters are read: nodes that can answer and are not restarted. All nodes if absent. */
  members?: readonly Member[]
  begin: () => Promise<void> | void
  /** Ends the disturbance; by default the proxies of all links pass everything again. */
  end?: () => Promise<void> | void
}

/** Does something to the proxy of every link. */
export function eachLink({ testbed }: Context, act: (linkProxy: TcpProxy) => void): () => void {
  const linkProxies = linkProxiesOf(testbed)
  return () => linkProxies.forEach(act)
}

export const healLinks = (context: Context): (() => void) =>
  eachLink(context, (linkProxy) => {
    linkProxy.accept()
    linkProxy.heal()
  })

/** Faults that need links between the nodes. */
export const withLinks = (faults: readonly Fault[]): readonly Fault[] =>
  faults.map((fault) => ({ ...fault, links: true }))

/** Waits until all nodes are linked, then disturbs the links. */
export async function disturbLinked(context: Context, bad: Disturbance): Promise<LinkReading> {
  await noteLinked(context, context.testbed.members)
  return disturb(context, bad)
}

/** Disturbs the links, and returns what changed meanwhile. It does not matter whether there are links. */
export async function disturb(context: Context, disturbance: Disturbance): Promise<LinkReading> {
  const { id, what, ms, members, begin, end = healLinks(context) } = disturbance
  const seen = await watchLinks(members ?? context.testbed.members)
  await inject(context, id, what, begin)
  await wait(ms)
  const counted = await seen()
  await heal(context, id, what, end)
  return counted
}

/** Notes that at least this many ends of links gave up, and that envelopes to other nodes went through the inbox. */
export function noteSwitched(
  context: Context,
  what: string,
  { downs, inbox }: LinkReading,
  atLeast = ends(context),
): void {
  context.note(`links that ended (${what})`, downs, { atLeast })
  context.note(`envelopes through the inbox instead (${what})`, inbox, { atLeast: 20 })
}

export async function noteLinkedAgain(context: Context): Promise<void> {
  context.note('all nodes linked again after ms', await untilLinked(context.testbed.members), {
    atMost: 60_000,
  })
}

/** The number of link ends: links between all nodes, each counted at both ends. */
export const ends = ({ testbed }: Context): number => testbed.members.length * (testbed.members.length - 1)

/** A link without confirmations ends after half a second, and its envelopes then go through the inbox. */
export const SWITCHED_P99_MS = 2_000
