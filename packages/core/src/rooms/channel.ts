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
//   origin ' p' members ',' to-length ',' sender ',' number ',' age ' ' to text   what a connection published
//   origin ' ='|' ?'|' !' members   a count; '?' also asks the other nodes for theirs, and '!' for their last texts, too
//
// `members`: how many members the origin's node has in the room. `to-length`: the length of `to` in UTF-16 units, or '-'
// if the text is for all. `sender` and `number`: the same when the text is sent again. `age`: how many milliseconds ago its
// node got it back over the channel, or '-' if it has not. A later version may add more after a comma, before the next
// space or at the end of a count.

export type Told =
  | { type: 'said'; origin: string; frame: string }
  | { type: 'change'; origin: string; member: MemberChange }

/** A text that a connection published in a room of connections without names. */
export interface Published {
  connection: ConnectionId
  to: string | undefined
  text: string
  /** The process that sends it: 8 characters of base64url, at random. A NodeId is not enough: it changes after a lapse [I7]. */
  sender: string
  /** Which of the sender's texts in this room it is. Numbers grow. */
  number: number
  /** How many milliseconds ago the sender's node got it back over the channel. Undefined: it has not yet. */
  age: number | undefined
}

/** What a node asks the other nodes for: their counts, or also the texts of the last seconds. */
export type Asks = 'nothing' | 'counts' | 'texts'

/** A text on the channel of a room of connections without names. */
export type AnonymousTold = {
  node: NodeId
  /** How many members this node has in the room. */
  members: number
} & (({ type: 'published' } & Published) | { type: 'counted'; asks: Asks })

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
  node: NodeId,
  members: number,
  { connection, to, text, sender, number, age }: Published,
): string {
  const head = `${node}.${connection} p${members},${to === undefined ? '-' : to.length},${sender},${number}`
  return `${head},${age ?? '-'} ${to ?? ''}${text}`
}

const ASK_MARKS: Record<Asks, string> = { nothing: '=', counts: '?', texts: '!' }
const ASKS = new Map<string, Asks>([
  ['=', 'nothing'],
  ['?', 'counts'],
  ['!', 'texts'],
])

export function encodeCounted(node: NodeId, members: number, asks: Asks): string {
  return `${node}.${NO_CONNECTION} ${ASK_MARKS[asks]}${members}`
}

/** The origin, the mark and the count, and the other fields of a published text. */
const ANONYMOUS_HEAD =
  /^([^ .]{8})\.([a-z0-9]{1,12}|-) (?:([=?!])(\d{1,7})(?:,[^ ]*)?$|p(\d{1,7}),(-|\d{1,3}),([\w-]{8}),(\d{1,15}),(-|\d{1,9})(?:,[^ ]*)? )/u

/** Parses a text of the channel of a room of connections without names. Returns undefined for anything else. */
export function readAnonymousTold(text: string): AnonymousTold | undefined {
  const head = ANONYMOUS_HEAD.exec(text)
  const node = parseNodeId(head?.[1])
  if (head === null || !node.ok) return undefined
  const asks = ASKS.get(head[3] ?? '')
  if (asks !== undefined) return { type: 'counted', node: node.value, members: Number(head[4]), asks }
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
    sender: head[7] ?? '',
    number: Number(head[8]),
    age: head[9] === '-' ? undefined : Number(head[9]),
  }
}
