import { mintNodeId } from '@peerage/core'
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { expect, test } from 'vitest'
import { commonNameOf, fingerprint, makeCertificate } from './certificate.js'

test('[LINK8] a certificate names its node and is self-signed, and OpenSSL accepts it and its key', () => {
  // NodeIds may hold - and _, and the DER lengths of signatures vary.
  for (let i = 0; i < 200; i++) {
    const node = mintNodeId()
    const { cert, key, sha256 } = makeCertificate(node)
    const read = new X509Certificate(cert)
    expect(commonNameOf(read)).toBe(node)
    expect(read.verify(read.publicKey)).toBe(true)
    expect(read.checkPrivateKey(createPrivateKey(key))).toBe(true)
    expect(read.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' })
    expect(sha256).toBe(fingerprint(read.raw))
    expect(sha256).toBe(read.fingerprint256.replaceAll(':', '').toLowerCase())
    expect(new Date(read.validFrom).getTime()).toBe(0)
    expect(new Date(read.validTo).getUTCFullYear()).toBe(9999)
    createSecureContext({ cert, key })
  }
})

test('[LINK8] no two certificates are the same, even for one node', () => {
  const node = mintNodeId()
  const made = Array.from({ length: 20 }, () => makeCertificate(node))
  expect(new Set(made.map(({ sha256 }) => sha256)).size).toBe(made.length)
  const serials = made.map(({ cert }) => new X509Certificate(cert).serialNumber)
  expect(new Set(serials).size).toBe(made.length)
})
