import fc from 'fast-check'
import { expect, test } from 'vitest'
import { contexts, guestSecrets, hostSecrets, keyPair, LineEnd, meet } from '../../testing/handshake-pair.js'
import type { Relay } from '../../testing/handshake-pair.js'
import type { Bytes } from './bytes.js'
import { connectAsGuest } from './guest.js'
import type { GuestResult, HandshakeContext, HandshakeEnd, HandshakeKind, HostResult } from './handshake.js'
import { answerAsHost } from './host.js'

// A dishonest node, or a proxy, between the two.

const kinds = ['link', 'link+password', 'code', 'session'] as const
const kind = fc.constantFrom(...kinds)

function run(kind: HandshakeKind, relay: Relay): Promise<{ guest: GuestResult; host: HostResult }> {
  return meet(guestSecrets[kind], hostSecrets[kind], { relay })
}

/** Nobody believes what was changed. The host has no reason to doubt if only its last message was changed. */
function expectRefused({ guest, host }: { guest: GuestResult; host: HostResult }, changed: number): void {
  expect(guest.ok).toBe(false)
  expect(host.ok).toBe(changed === 4)
}

test('[FT37, FT39, FT40] a change of any byte of any message is noticed', async () => {
  const anyByte = fc.record({
    kind,
    type: fc.integer({ min: 1, max: 4 }),
    at: fc.nat(200),
    bits: fc.integer({ min: 1, max: 255 }),
  })
  await fc.assert(
    fc.asyncProperty(anyByte, async ({ kind, type, at, bits }) => {
      const result = await run(kind, (bytes, found) => {
        const place = at % bytes.length
        if (found === type) bytes[place] = (bytes[place] ?? 0) ^ bits
        return [bytes]
      })
      expectRefused(result, type)
      // Nobody but a guest with the link can use up the tries of its password.
      if (kind !== 'code') expect(result.host).not.toMatchObject({ isGuess: true })
    }),
    { numRuns: 150 },
  )
}, 60_000)

test('[FT45] any bytes in place of a message end the handshake, and nothing throws', async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 1_100 }),
    // With a right header, and often with a right length.
    fc
      .tuple(
        fc.integer({ min: 0, max: 6 }),
        fc.integer({ min: 0, max: 5 }),
        fc.constantFrom(0, 32, 48, 64, 65, 97, 105),
        fc.nat(255),
      )
      .map(([type, kind, length, fill]) =>
        Uint8Array.of(1, type, kind, ...new Uint8Array(length).fill(fill)),
      ),
  )
  const step = fc.record({ kind, type: fc.integer({ min: 1, max: 4 }), bytes })
  await fc.assert(
    fc.asyncProperty(step, async ({ kind, type, bytes }) => {
      const result = await run(kind, (honest, found) => [found === type ? new Uint8Array(bytes) : honest])
      expectRefused(result, type)
    }),
    { numRuns: 150 },
  )
}, 60_000)

test.each(kinds)(
  '[FT45] %s: messages that are cut short, too long, doubled or of the wrong type',
  async (kind) => {
    const changes: ((bytes: Bytes) => Bytes[])[] = [
      (bytes) => [bytes.slice(0, -1)],
      (bytes) => [bytes.slice(0, 2)],
      () => [new Uint8Array()],
      (bytes) => [new Uint8Array([...bytes, 0])],
      (bytes) => [new Uint8Array(1_025).fill(1).map((one, at) => bytes[at] ?? one)],
      (bytes) => [bytes.map((byte, at) => (at === 1 ? (byte % 4) + 1 : byte))],
    ]
    for (const type of [1, 2, 3, 4])
      for (const change of changes)
        expectRefused(await run(kind, (bytes, found) => (found === type ? change(bytes) : [bytes])), type)
    for (const type of [1, 2]) {
      const { guest } = await run(kind, (bytes, found) => (found === type ? [bytes, bytes] : [bytes]))
      expect(guest.ok).toBe(false)
    }
  },
)

test('[FT45] another version is told apart', async () => {
  const other = (type: number) => (bytes: Bytes, found: number) => [
    found === type ? bytes.map((byte, at) => (at === 0 ? 2 : byte)) : bytes,
  ]
  expect(await run('link', other(1))).toMatchObject({
    guest: { why: 'incompatible' },
    host: { why: 'incompatible' },
  })
  expect(await run('link', other(2))).toMatchObject({
    guest: { why: 'incompatible' },
    host: { why: 'broken-off' },
  })
  const kind9 = (bytes: Bytes, type: number) => [
    type === 1 ? bytes.map((byte, at) => (at === 2 ? 9 : byte)) : bytes,
  ]
  expect(await run('link', kind9)).toMatchObject({
    guest: { why: 'incompatible' },
    host: { why: 'incompatible' },
  })
})

/** What the guest sees if somebody is between the two. */
const views: [string, (context: HandshakeContext) => HandshakeContext][] = [
  ['another certificate of the host', (seen) => ({ ...seen, remote: other(seen.remote, 'fingerprint') })],
  ['another certificate of its own', (seen) => ({ ...seen, local: other(seen.local, 'fingerprint') })],
  ['no certificates', (seen) => ({ ...seen, local: bare(seen.local), remote: bare(seen.remote) })],
  ['another name of the host', (seen) => ({ ...seen, remote: other(seen.remote, 'name') })],
  ['another name of its own', (seen) => ({ ...seen, local: other(seen.local, 'name') })],
  ['another handshake', (seen) => ({ ...seen, handshake: 'hs-2' })],
  ['the ends swapped', (seen) => ({ ...seen, local: seen.remote, remote: seen.local })],
  [
    'the certificates swapped',
    ({ handshake, local, remote }) => ({
      handshake,
      local: { ...local, fingerprint: remote.fingerprint },
      remote: { ...remote, fingerprint: local.fingerprint },
    }),
  ],
  [
    'the border between two texts moved',
    ({ handshake, local, remote }) => ({
      handshake: `${remote.name.slice(-1)}${handshake}`,
      local,
      remote: { ...remote, name: remote.name.slice(0, -1) },
    }),
  ],
]
const other = (end: HandshakeEnd, field: keyof HandshakeEnd): HandshakeEnd => ({
  ...end,
  [field]: `${end[field]}x`,
})
const bare = (end: HandshakeEnd): HandshakeEnd => ({ ...end, fingerprint: '' })

test.each(views)('[FT36] both sides notice if the guest sees %s', async (_, change) => {
  for (const kind of kinds) {
    const guestContext = change(contexts.guest)
    const { guest, host } = await meet(guestSecrets[kind], hostSecrets[kind], { guestContext })
    const why = kind === 'code' ? 'wrong-code' : 'not-verified'
    expect([guest, host], kind).toMatchObject([
      { ok: false, why },
      { ok: false, why, isGuess: kind === 'code' },
    ])
  }
})

test.each(kinds)('[FT36] %s: what a side sends is worth nothing if it is sent back', async (kind) => {
  const mirror = new LineEnd()
  mirror.deliver = (bytes) => mirror.arrive(bytes)
  expect(await connectAsGuest(mirror, contexts.guest, guestSecrets[kind])).toEqual({
    ok: false,
    why: 'malformed',
  })
  const asAnswer = new LineEnd()
  // The opening again, made to look like an answer: without kind and id, with the type of an answer.
  asAnswer.deliver = (bytes) => {
    const idBytes = { link: 8, 'link+password': 8, code: 0, session: 16 }[kind]
    asAnswer.arrive(
      new Uint8Array([1, bytes[1] === 1 ? 2 : 4, ...bytes.slice(bytes[1] === 1 ? 3 + idBytes : 2)]),
    )
  }
  const reflected = await connectAsGuest(asAnswer, contexts.guest, guestSecrets[kind])
  expect(reflected.ok).toBe(false)
})

test.each(kinds)(
  '[FT43] %s: the messages of an old handshake are worth nothing in a new one',
  async (kind) => {
    const old = new Map<number, Bytes>()
    await run(kind, (bytes, type) => {
      old.set(type, bytes)
      return [bytes]
    })
    expect(old.size).toBe(4)
    const replayed = new LineEnd()
    for (const type of [1, 3]) replayed.arrive(old.get(type) ?? new Uint8Array())
    const host = await answerAsHost(replayed, contexts.host, { keyPair, ...hostSecrets[kind] })
    expect(host.ok).toBe(false)
    if (kind === 'link+password') expect(host).toMatchObject({ why: 'not-verified', isGuess: false })
    const toGuest = new LineEnd()
    for (const type of [2, 4]) toGuest.arrive(old.get(type) ?? new Uint8Array())
    expect(await connectAsGuest(toGuest, contexts.guest, guestSecrets[kind])).toMatchObject({
      ok: false,
      why: 'not-verified',
    })
  },
)

test('[FT37] whoever has no link gets no answer from the host, and no try of the password', async () => {
  const key = { needsPassword: true, secret: new Uint8Array(16), keyHash: new Uint8Array(16) }
  const types: number[] = []
  const relay: Relay = (bytes, type) => {
    types.push(type)
    return [bytes]
  }
  const { host } = await meet({ kind: 'link+password', key, password: 1234n }, hostSecrets['link+password'], {
    relay,
  })
  expect(host).toEqual({ ok: false, why: 'wrong-link', kind: 'link+password', isGuess: false })
  // An opening and a refusal.
  expect(types).toEqual([1, 5])
})

test('[FT39] a node that plays the host of a code has one guess, and learns nothing else', async () => {
  // It answers the guest by a code that it guesses, so it sees a confirmation that is right for the guest's code only.
  const { guest, host } = await meet(guestSecrets.code, { code: 1n })
  expect([guest, host]).toMatchObject([
    { ok: false, why: 'wrong-code' },
    { ok: false, isGuess: true },
  ])
})
