import type { NodeId } from '@peerage/protocol'
import type { X509Certificate } from 'node:crypto'
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'

// Makes self-signed certificates in DER (X.690), as RFC 5280 defines them: version 3, ECDSA with SHA-256 over P-256, no
// extensions. Node.js makes keys and signatures, but no certificates.

export interface Certificate {
  /** PEM. */
  cert: string
  /** PEM, PKCS #8. */
  key: string
  /** What the other side compares, see `fingerprint`. */
  sha256: string
}

/** Makes a new key and a certificate for it, whose common name is the NodeId. Takes less than a millisecond. */
export function makeCertificate(node: NodeId): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = sequence(set(sequence(COMMON_NAME, tagged(0x0c, Buffer.from(node, 'utf8')))))
  const body = sequence(
    tagged(0xa0, tagged(0x02, Buffer.of(2))),
    // A serial number that is positive and never empty.
    tagged(0x02, Buffer.concat([Buffer.of(0x01), randomBytes(15)])),
    ECDSA_WITH_SHA256,
    name,
    sequence(time('19700101000000Z'), time('99991231235959Z')),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  )
  const signature = tagged(0x03, Buffer.concat([Buffer.of(0), sign('sha256', body, privateKey)]))
  const der = sequence(body, ECDSA_WITH_SHA256, signature)
  return {
    cert: pem(der),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    sha256: fingerprint(der),
  }
}

/** SHA-256 of a certificate's DER form, in hexadecimal. */
export function fingerprint(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex')
}

/** The common name of a certificate that `makeCertificate` could have made. Undefined for any other certificate. */
export function commonNameOf(certificate: X509Certificate): string | undefined {
  return /^CN=([\w-]+)$/.exec(certificate.subject)?.[1]
}

// 2.5.4.3
const COMMON_NAME = Buffer.from('0603550403', 'hex')
// 1.2.840.10045.4.3.2
const ECDSA_WITH_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex')

/** Encodes one value: its tag, its length, its content. */
function tagged(tag: number, content: Uint8Array): Buffer {
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...size), content])
}

function sequence(...parts: Uint8Array[]): Buffer {
  return tagged(0x30, Buffer.concat(parts))
}

function set(...parts: Uint8Array[]): Buffer {
  return tagged(0x31, Buffer.concat(parts))
}

/** Encodes a GeneralizedTime. Nobody checks the validity: the proof is valid as long as the announcement exists. */
function time(text: string): Buffer {
  return tagged(0x18, Buffer.from(text, 'ascii'))
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}
