import type { Peer } from '@peerage/protocol'
import { parseConnectionId, parseNodeId } from '@peerage/protocol'
import type { Lease } from '@peerage/core'

// A lease is one compact string, so that GET is the whole look-up:
//
//   node connection since epoch o|a hash
//
// A name that was just released leaves its epoch alone behind, a tombstone: digits without a space. Nobody's name,
// but the next claim must exceed it [I2]. A later version may add words at the end [F25].

const PATTERN = /^(\S+) (\S+) (\d{1,16}) (\d{1,16}) ([oa]) ([A-Za-z0-9_-]{1,64})(?: .*)?$/u

export function formatLease(lease: Lease): string {
  return formatAs(lease, lease.state)
}

/** The same stay in either state: scripts compare whole strings. */
export function formatAs(lease: Lease, state: Lease['state']): string {
  const { node, connection, since, epoch, secretHash } = lease
  return `${node} ${connection} ${since} ${epoch} ${state === 'online' ? 'o' : 'a'} ${secretHash}`
}

/** The lease that a key holds; undefined: none, a tombstone, or what no version of ours has written. */
export function parseLease(peer: Peer, value: unknown): Lease | undefined {
  if (typeof value !== 'string') return undefined
  const words = PATTERN.exec(value)
  if (!words) return undefined
  const node = parseNodeId(words[1])
  const connection = parseConnectionId(words[2])
  const [since, epoch] = [Number(words[3]), Number(words[4])]
  if (!node.ok || !connection.ok || !Number.isSafeInteger(since) || !Number.isSafeInteger(epoch))
    return undefined
  return {
    peer,
    node: node.value,
    connection: connection.value,
    since,
    epoch,
    state: words[5] === 'o' ? 'online' : 'away',
    secretHash: words[6] ?? '',
  }
}
