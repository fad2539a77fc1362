import type { NodeId } from '@peerage/protocol'
import { randomBytes } from 'node:crypto'
import type { SecureContext } from 'node:tls'
import { createSecureContext } from 'node:tls'
import type { Proof } from './announcement.js'
import { makeCertificate } from './certificate.js'

/** How this process proves that it is a node. Each NodeId gets a new one, so that no identity outlives its NodeId [I7]. */
export type Identity = {
  node: NodeId
  proof: Proof
} & ({ plain: false; context: SecureContext } | { plain: true; token: string })

/** 256 random bits. */
const TOKEN_BYTES = 32

/**
 * On server processors AES-128-GCM is the fastest cipher suite of TLS 1.3 (RFC 8446 §B.4), faster than the one that
 * Node.js would choose, and 128 bits are enough.
 */
const CIPHERS = 'TLS_AES_128_GCM_SHA256'

export function makeIdentity(node: NodeId, plain: boolean): Identity {
  if (plain) {
    const token = randomBytes(TOKEN_BYTES).toString('base64url')
    return { node, plain, token, proof: { type: 'token', token } }
  }
  const { cert, key, sha256 } = makeCertificate(node)
  const context = createSecureContext({ cert, key, ciphers: CIPHERS, minVersion: 'TLSv1.3' })
  return { node, plain, context, proof: { type: 'certificate', sha256 } }
}
