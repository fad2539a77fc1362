import type { ConnectionId, NodeId, Peer } from '@peerage/protocol'
import { parseConnectionId, parseNodeId, parsePeer } from '@peerage/protocol'

// The fields of a record's header. Each reader returns undefined for anything else, and never throws.

export function readPeer(field: string | undefined): Peer | undefined {
  const parsed = parsePeer(field)
  return parsed.ok ? parsed.value : undefined
}

export function readNode(field: string | undefined): NodeId | undefined {
  const parsed = parseNodeId(field)
  return parsed.ok ? parsed.value : undefined
}

export function readConnection(field: string | undefined): ConnectionId | undefined {
  const parsed = parseConnectionId(field)
  return parsed.ok ? parsed.value : undefined
}

const NATURAL_PATTERN = /^\d{1,16}$/

export function readNatural(field: string | undefined): number | undefined {
  if (field === undefined || !NATURAL_PATTERN.test(field)) return undefined
  const number = Number(field)
  return Number.isSafeInteger(number) ? number : undefined
}

export function wordsOf<Word extends string>(codes: Record<Word, string>): ReadonlyMap<string, Word> {
  const words = new Map<string, Word>()
  for (const word in codes) words.set(codes[word], word)
  return words
}
