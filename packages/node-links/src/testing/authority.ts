import type { KeyObject } from 'node:crypto'
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

// Certificates that an authority signs: version 1 of X.509, in which a root needs no extensions.

interface Signed {
  cert: string
  key: string
}

export interface TestAuthority {
  /** PEM: the authority's own certificate. Whoever has it trusts the authority. */
  ca: string
  /** A certificate for that common name, and its key. */
  sign: (commonName: string) => Signed
}

export function makeAuthority(): TestAuthority {
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = 'Authority'
  return {
    ca: certificate(name, authority.publicKey, name, authority.privateKey),
    sign: (commonName) => {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
      return { cert: certificate(commonName, publicKey, name, authority.privateKey), key }
    },
  }
}

/**
 * A key that looks like the key of a certificate until it signs something: its public part is the certificate's, its
 * secret part is another key's.
 */
export function keyWithoutSecret(publicKey: KeyObject): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  // Both encodings end with the public point.
  const [own, shown] = [
    privateKey.export({ type: 'pkcs8', format: 'der' }),
    publicKey.export({ type: 'spki', format: 'der' }),
  ]
  return pem('PRIVATE KEY', Buffer.concat([own.subarray(0, -POINT_BYTES), shown.subarray(-POINT_BYTES)]))
}

const POINT_BYTES = 65
const ECDSA_WITH_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex')
const COMMON_NAME = Buffer.from('0603550403', 'hex')

function certificate(subject: string, subjectKey: KeyObject, issuer: string, issuerKey: KeyObject): string {
  const body = der(
    0x30,
    der(0x02, Buffer.of(1), randomBytes(15)),
    ECDSA_WITH_SHA256,
    nameOf(issuer),
    der(0x30, der(0x18, Buffer.from('19700101000000Z')), der(0x18, Buffer.from('99991231235959Z'))),
    nameOf(subject),
    subjectKey.export({ type: 'spki', format: 'der' }),
  )
  const signature = der(0x03, Buffer.of(0), sign('sha256', body, issuerKey))
  return pem('CERTIFICATE', der(0x30, body, ECDSA_WITH_SHA256, signature))
}

function nameOf(commonName: string): Buffer {
  return der(0x30, der(0x31, der(0x30, COMMON_NAME, der(0x0c, Buffer.from(commonName)))))
}

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...size), content])
}

function pem(what: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${what}-----`, ...lines, `-----END ${what}-----`, ''].join('\n')
}
