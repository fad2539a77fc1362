import type { NodeId } from '@peerage/protocol'
import { randomBytes } from 'node:crypto'
import type { SecureContext } from 'node:tls'
import { createSecureContext } from 'node:tls'
import type { Proof } from './announcement.js'
import { makeCertificate } from './certificate.js'

/** How this process shows that it is a node: another one for each NodeId, so that none outlives it [I7]. */
export type Identity = {
  node: NodeId
  proof: Proof
} & ({ plain: false; context: SecureContext } | { plain: true; token: string })

/** 256 bits of chance. */
const TOKEN_BYTES = 32

/**
 * What Node would choose costs more: on processors of servers AES-128-GCM takes the least time of the suites of TLS 1.3
 * (RFC 8446, B.4), and 128 bits are enough.
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
