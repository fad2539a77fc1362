import type { Peer } from '@peerage/protocol'
import { parseConnectionId, parseNodeId } from '@peerage/protocol'
import type { Lease } from '@peerage/core'

// A lease is one compact string, so that one GET looks it up:
//
//   node (8)  hash (22)  o|a  since  [':' epoch - since]  ' ' connection  [' ~' rank]
//
// Numbers are in base 36. The rank is left out where it equals `since`. A first lease has since = epoch, and 44
// characters. Up to that length Redis keeps a string and its header in one allocation, which reduces a name from 240
// to 208 bytes in all.
//
// A released name may leave a tombstone: its epoch, and a rank if that differs, in decimal digits. Nobody holds the
// name, but the next claim must exceed the epoch, and takes the rank [I2, I10]. A later version may add words at the
// end [F25].

const BASE = 36
const PATTERN =
  /^([\w-]{8})([\w-]{22})([oa])([0-9a-z]{1,11})(?::([0-9a-z]{1,11}))? ([0-9a-z]{1,12})(?: ~([0-9a-z]{1,11}))?(?: .*)?$/u

export function formatLease(lease: Lease): string {
  return formatAs(lease, lease.state)
}

/** The lease in the given state, because scripts compare whole strings. */
export function formatAs(lease: Lease, state: Lease['state']): string {
  const { node, connection, since, epoch, secretHash } = lease
  const later = epoch === since ? '' : `:${(epoch - since).toString(BASE)}`
  const rank = lease.rank === undefined ? '' : ` ~${lease.rank.toString(BASE)}`
  return `${node}${secretHash}${state === 'online' ? 'o' : 'a'}${since.toString(BASE)}${later} ${connection}${rank}`
}

/** The lease in a key's value. Undefined: no lease, a tombstone, or a value that none of our versions has written. */
export function parseLease(peer: Peer, value: unknown): Lease | undefined {
  if (typeof value !== 'string') return undefined
  const words = PATTERN.exec(value)
  if (!words) return undefined
  const node = parseNodeId(words[1])
  const connection = parseConnectionId(words[6])
  const since = Number.parseInt(words[4] ?? '', BASE)
  const epoch = since + Number.parseInt(words[5] ?? '0', BASE)
  const rank = words[7] === undefined ? since : Number.parseInt(words[7], BASE)
  if (!node.ok || !connection.ok || ![since, epoch, rank].every(Number.isSafeInteger)) return undefined
  const lease: Lease = {
    peer,
    node: node.value,
    connection: connection.value,
    since,
    epoch,
    state: words[3] === 'o' ? 'online' : 'away',
    secretHash: words[2] ?? '',
  }
  return rank === since ? lease : { ...lease, rank }
}
