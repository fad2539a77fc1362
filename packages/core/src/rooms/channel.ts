import type { ConnectionId, NodeId } from '@peerage/protocol'
import { parseConnectionId, parseName, parseNodeId } from '@peerage/protocol'
import type { MemberChange } from '../sessions/sessions.js'
import type { Member } from './registry.js'

// What the nodes that have members in a room publish on its channel:
//
//   origin ' s' frame                     what a member said
//   origin ' +'|' -'|' ~' since ' ' name  a member joined, left, or is away
//
// The origin identifies the connection that must not hear its own message.
//
// In a room of connections without names:
//
//   origin ' p' members ' ' to-length ' ' to text   what a connection published
//   origin ' ?'|' =' members                        a count; '?' also asks the other nodes for theirs
//
// `members`: how many members the origin's node has in the room. `to-length`: the length of `to` in UTF-16 units, or '-'
// if the text is for all.

export type Told =
  | { type: 'said'; origin: string; frame: string }
  | { type: 'change'; origin: string; member: MemberChange }

/** A text of a room of connections without names. */
export type AnonymousTold = {
  node: NodeId
  /** How many members this node has in the room. */
  members: number
} & (
  | { type: 'published'; connection: ConnectionId; to: string | undefined; text: string }
  | { type: 'counted'; asks: boolean }
)

/** Stands for the connection in the origin of a text that no connection sent. No connection has this id. */
export const NO_CONNECTION = '-'

export type MemberState = MemberChange['state']

const MARKS: Record<MemberState, string> = { joined: '+', left: '-', away: '~' }
const STATES = new Map<string | undefined, MemberState>([
  ['+', 'joined'],
  ['-', 'left'],
  ['~', 'away'],
])

export function originOf(node: NodeId, connection: ConnectionId): string {
  return `${node}.${connection}`
}

export function encodeSaid(origin: string, frame: string): string {
  return `${origin} s${frame}`
}

export function encodeChange(origin: string, state: MemberState, { since, name }: Member): string {
  return `${origin} ${MARKS[state]}${since} ${name}`
}

/** Parses a text of a room's channel. Returns undefined for anything else. */
export function readTold(text: string): Told | undefined {
  const space = text.indexOf(' ')
  if (space < 0) return undefined
  const origin = text.slice(0, space)
  const mark = text[space + 1]
  if (mark === 's') return { type: 'said', origin, frame: text.slice(space + 2) }
  const state = STATES.get(mark)
  const words = /^(\d{1,16}) (.+)$/su.exec(text.slice(space + 2))
  const name = parseName(words?.[2])
  if (state === undefined || !name.ok) return undefined
  return { type: 'change', origin, member: { name: name.value, since: Number(words?.[1]), state } }
}

export function encodePublished(
  origin: string,
  members: number,
  to: string | undefined,
  text: string,
): string {
  return to === undefined
    ? `${origin} p${members} - ${text}`
    : `${origin} p${members} ${to.length} ${to}${text}`
}

export function encodeCounted(node: NodeId, members: number, asks: boolean): string {
  return `${node}.${NO_CONNECTION} ${asks ? '?' : '='}${members}`
}

/** The origin, the mark and the count, and for a published text also the length of `to`. */
const ANONYMOUS_HEAD = /^([^ .]{8})\.([a-z0-9]{1,12}|-) (?:([?=])(\d{1,7})$|p(\d{1,7}) (-|\d{1,3}) )/u

/** Parses a text of the channel of a room of connections without names. Returns undefined for anything else. */
export function readAnonymousTold(text: string): AnonymousTold | undefined {
  const head = ANONYMOUS_HEAD.exec(text)
  const node = parseNodeId(head?.[1])
  if (head === null || !node.ok) return undefined
  if (head[3] !== undefined)
    return { type: 'counted', node: node.value, members: Number(head[4]), asks: head[3] === '?' }
  const connection = parseConnectionId(head[2])
  if (!connection.ok) return undefined
  const from = head[0].length
  const toEnd = head[6] === '-' ? from : from + Number(head[6])
  if (toEnd > text.length) return undefined
  return {
    type: 'published',
    node: node.value,
    connection: connection.value,
    members: Number(head[5]),
    to: head[6] === '-' ? undefined : text.slice(from, toEnd),
    text: text.slice(toEnd),
  }
}
