import type { ConnectionId, NodeId } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import type { MemberChange } from '../sessions/sessions.js'
import type { Member } from './registry.js'

// What the nodes that have members in a room publish on its channel:
//
//   origin ' s' frame                     what a member said
//   origin ' +'|' -'|' ~' since ' ' name  a member joined, left, or is away
//
// The origin identifies the connection that must not hear its own message.

export type Told =
  | { type: 'said'; origin: string; frame: string }
  | { type: 'change'; origin: string; member: MemberChange }

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
