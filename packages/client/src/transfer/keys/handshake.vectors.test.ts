import { expect, test } from 'vitest'
import {
  contexts,
  guestSecrets,
  hostSecrets,
  keyPair,
  linkSecret,
  meet,
  repeatableRandom,
  session,
} from '../../testing/handshake-pair.js'
import { toHex, utf8 } from './bytes.js'
import type { HandshakeKind } from './handshake.js'
import { randomScalar } from './spake2.js'
import { handshakeVectors as vectors } from '../../testing/handshake-vectors.js'

// One whole handshake of each kind, for those who implement SPEC.md. A change of these bytes is another version.

const hexOf = (scalar: bigint): string => scalar.toString(16).padStart(64, '0')

test('[FT36] the inputs of the recorded handshakes', () => {
  const { local: host, remote: guest } = contexts.host
  expect({
    guest,
    host,
    handshake: contexts.host.handshake,
    hostSecretKey: toHex(keyPair.secretKey),
    hostPublicKey: toHex(keyPair.publicKey),
    linkSecret: toHex(linkSecret),
    passwordW: hexOf(1234n),
    codeW: hexOf(5678n),
    sessionId: session.id,
    sessionKey: toHex(session.key),
    guestScalar: hexOf(randomScalar(repeatableRandom('guest'))),
    hostScalar: hexOf(randomScalar(repeatableRandom('host'))),
    guestNonce: toHex(repeatableRandom('guest')(32)),
    hostNonce: toHex(repeatableRandom('host')(32)),
    payload: 'hello',
  }).toEqual(vectors.inputs)
})

test.each(['link', 'link+password', 'code', 'session'] as const)(
  '[FT35, FT36, FT37, FT38, FT39, FT40] the recorded handshake of the kind %s',
  async (kind: HandshakeKind) => {
    const messages: string[] = []
    const secrets = { ...hostSecrets[kind], payload: () => utf8('hello') }
    const { guest } = await meet(guestSecrets[kind], secrets, {
      relay: (bytes) => {
        messages.push(toHex(bytes))
        return [bytes]
      },
    })
    if (!guest.ok) throw new Error(guest.why)
    const { id, key, seal } = guest.keys
    const keys = { id, key: toHex(key), guestToHost: toHex(seal.out), hostToGuest: toHex(seal.in) }
    expect({ messages, ...keys }).toEqual(vectors.handshakes[kind])
  },
)
