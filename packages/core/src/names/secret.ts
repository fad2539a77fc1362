import { hash, randomBytes } from 'node:crypto'
import type { Name, NodeId, Peer } from '@peerage/protocol'
import { parseName, parseNodeId } from '@peerage/protocol'

/** 128 bits of SHA-256 over peer and secret, in base64url: all that the registry stores of a secret [I8]. */
export function hashSecret(peer: Peer, secret: string): string {
  return hash('sha256', `${peer}\0${secret}`, 'buffer').subarray(0, 16).toString('base64url')
}

/** A fresh NodeId: 48 random bits, so that a restarted node never inherits [I7]. */
export function mintNodeId(): NodeId {
  const minted = parseNodeId(randomBytes(6).toString('base64url'))
  if (!minted.ok) throw new Error(minted.problem)
  return minted.value
}

/** A name that nobody can guess: 128 random bits. */
export function mintName(): Name {
  const minted = parseName(randomBytes(16).toString('base64url'))
  if (!minted.ok) throw new Error(minted.problem)
  return minted.value
}
