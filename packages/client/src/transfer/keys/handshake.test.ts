import { readFileSync } from 'node:fs'
import { readTable } from '@peerage/test-support/testing/protocol.js'
import { expect, test } from 'vitest'
import {
  contexts,
  guestSecrets,
  hostSecrets,
  keyPair,
  LineEnd,
  linesOver,
  linkKey,
  linkSecret,
  meet,
  repeatableRandom,
} from '../../testing/handshake-pair.js'
import type { Meeting } from '../../testing/handshake-pair.js'
import { toHex, utf8 } from './bytes.js'
import type { Bytes } from './bytes.js'
import { connectAsGuest } from './guest.js'
import type { GuestSecret, HandshakeKind, HostRefusal, HostSecrets } from './handshake.js'
import { answerAsHost } from './host.js'
import { createKeyPair, hashOfKey } from './key-pair.js'
import { refusalCodes } from './messages.js'
import { createSeal } from './seal.js'

const kinds = ['link', 'link+password', 'code', 'session'] as const

test.each(kinds)('[FT38] %s: both sides agree on fresh keys', async (kind) => {
  const first = await meet(guestSecrets[kind], hostSecrets[kind])
  const again = await meet(guestSecrets[kind], hostSecrets[kind], {
    hostOptions: { random: repeatableRandom('x') },
  })
  const seen = new Set<string>()
  for (const { guest, host } of [first, again]) {
    if (!guest.ok || !host.ok) throw new Error(`${JSON.stringify(guest)} ${JSON.stringify(host)}`)
    expect([guest.kind, host.kind]).toEqual([kind, kind])
    expect(guest.keys).toEqual({ ...host.keys, seal: { in: host.keys.seal.out, out: host.keys.seal.in } })
    expect(guest.keys.hostKey).toEqual(keyPair.publicKey)
    expect(guest.keys.id).toMatch(/^[0-9a-f]{32}$/)
    for (const key of [guest.keys.seal.in, guest.keys.seal.out]) seen.add(toHex(key))
    if (kind !== 'session') seen.add(toHex(guest.keys.key)).add(guest.keys.id)
  }
  expect(seen.size).toBe(kind === 'session' ? 4 : 8)
})

test('[FT41] one host serves every kind for which it has a secret', async () => {
  const all = { ...hostSecrets.link, ...hostSecrets.code, ...hostSecrets.session }
  for (const kind of ['link', 'code', 'session'] as const)
    expect((await meet(guestSecrets[kind], all)).host, kind).toMatchObject({ ok: true, kind })
  const links = [repeatableRandom('old')(16), linkSecret]
  expect((await meet(guestSecrets.link, { links })).guest.ok).toBe(true)
})

test('[FT41] a link of a share with a password may need none', async () => {
  const secrets = { ...hostSecrets['link+password'], links: [repeatableRandom('main')(16)] }
  const open = { ...secrets, openLinks: [linkSecret] }
  expect(await outcome(guestSecrets.link, open)).toBe('ok ok')
  expect(await outcome(guestSecrets['link+password'], open)).toBe('password-not-needed password-not-needed')
  expect(await outcome(guestSecrets.link, secrets)).toBe('wrong-link wrong-link')
})

test('[FT43] a session goes on with its key and id, and with new keys for the seal', async () => {
  const before = await meet(guestSecrets.code, hostSecrets.code)
  if (!before.guest.ok || !before.host.ok) throw new Error('they share a code')
  const { keys } = before.host
  const guest = { kind: 'session', session: before.guest.keys } as const
  const after = await meet(guest, { session: (id) => (id === keys.id ? keys : undefined) })
  if (!after.guest.ok || !after.host.ok) throw new Error('they share a session')
  for (const side of ['guest', 'host'] as const) {
    const [old, fresh] = [before[side], after[side]]
    if (!old.ok || !fresh.ok) throw new Error('both were')
    expect({ ...fresh.keys, seal: 0 }).toEqual({ ...old.keys, seal: 0 })
    expect(fresh.keys.seal.out).not.toEqual(old.keys.seal.out)
    expect(fresh.keys.seal.in).not.toEqual(old.keys.seal.in)
  }
  const [ours, theirs] = await Promise.all([
    createSeal(after.guest.keys.seal),
    createSeal(after.host.keys.seal),
  ])
  const sealed = await ours.seal(utf8('hello'))
  expect(sealed.ok && (await theirs.open(sealed.bytes))).toEqual({ ok: true, bytes: utf8('hello') })
})

test('[FT48] the handshake works without crypto.subtle, on one side or on both', async () => {
  const without = { random: repeatableRandom('plain'), platform: {} }
  for (const options of [
    { guestOptions: without },
    { hostOptions: without },
    { guestOptions: without, hostOptions: without },
  ])
    expect((await meet(guestSecrets.link, hostSecrets.link, options)).guest.ok).toBe(true)
})

test.each(kinds)(
  '[FT44] %s: the guest gets the payload of the host, and nobody can read it on the way',
  async (kind) => {
    const payload = utf8('main-name'.repeat(50))
    const carried: string[] = []
    const relay = (bytes: Bytes): Bytes[] => {
      carried.push(Buffer.from(bytes).toString('latin1'))
      return [bytes]
    }
    const secrets = { ...hostSecrets[kind], payload: () => payload }
    const { guest } = await meet(guestSecrets[kind], secrets, { relay })
    expect(guest).toMatchObject({ ok: true, payload })
    expect(carried).toHaveLength(4)
    for (const bytes of carried) {
      expect(bytes.length).toBeLessThanOrEqual(1_024)
      expect(bytes).not.toContain('main-name')
    }
    await expect(
      meet(guestSecrets[kind], { ...secrets, payload: () => new Uint8Array(513) }),
    ).rejects.toThrow('the payload has 513 bytes; at most 512 fit')
  },
)

/** What both sides say. A host's `isGuess` is left out where it is false. */
async function outcome(
  secret: GuestSecret,
  secrets: Partial<HostSecrets>,
  meeting?: Meeting,
): Promise<string> {
  const { guest, host } = await meet(secret, secrets, meeting)
  return `${guest.ok ? 'ok' : guest.why} ${host.ok ? 'ok' : `${host.why}${host.isGuess ? ' guess' : ''}`}`
}

test('[FT41] what the host has no secret for is told apart', async () => {
  const { link, code } = guestSecrets
  expect(await outcome(link, {})).toBe('wrong-link wrong-link')
  expect(await outcome(link, { links: [repeatableRandom('other')(16)] })).toBe('wrong-link wrong-link')
  expect(await outcome(link, hostSecrets['link+password'])).toBe('password-needed password-needed')
  expect(await outcome(guestSecrets['link+password'], hostSecrets.link)).toBe(
    'password-not-needed password-not-needed',
  )
  expect(await outcome(code, {})).toBe('no-code no-code')
  expect(await outcome(guestSecrets.session, {})).toBe('not-the-session not-the-session')
})

test('[FT42] a wrong password or code is a guess, and the host knows before the guest does', async () => {
  const told: string[] = []
  const onProof = (kind: HandshakeKind, isRight: boolean) => told.push(`${kind} ${isRight}`)
  const password = { ...guestSecrets['link+password'], password: 1235n } as const
  expect(await outcome(password, { ...hostSecrets['link+password'], onProof })).toBe(
    'wrong-password wrong-password guess',
  )
  expect(await outcome({ kind: 'code', code: 1n }, { ...hostSecrets.code, onProof })).toBe(
    'wrong-code wrong-code guess',
  )
  expect(await outcome(guestSecrets.code, { ...hostSecrets.code, onProof })).toBe('ok ok')
  expect(told).toEqual(['link+password false', 'code false', 'code true'])
})

test.each(['link+password', 'code'] as const)(
  '[FT42] %s: an attempt that breaks off is no guess',
  async (kind) => {
    for (const lost of [2, 3]) {
      const lines = linesOver((bytes, type) => {
        if (type !== lost) return [bytes]
        lines.guest.close()
        lines.host.close()
        return []
      })
      const host = answerAsHost(lines.host, contexts.host, { keyPair, ...hostSecrets[kind] })
      const guest = await connectAsGuest(lines.guest, contexts.guest, guestSecrets[kind])
      expect(guest).toEqual({ ok: false, why: 'broken-off' })
      expect(await host).toEqual({ ok: false, why: 'broken-off', kind, isGuess: false })
    }
  },
)

test('[FT42] many handshakes at once get no more guesses than the host allows', async () => {
  let triesLeft = 3
  let checked = 0
  const secrets: Partial<HostSecrets> = {
    ...hostSecrets['link+password'],
    refuse: () => (triesLeft > 0 ? undefined : 'locked'),
    onProof: (_, isRight) => {
      checked++
      if (!isRight) triesLeft--
    },
  }
  const wrong = { ...guestSecrets['link+password'], password: 1n } as const
  const results = await Promise.all(Array.from({ length: 10 }, () => outcome(wrong, secrets)))
  expect(checked).toBe(3)
  expect(results.filter((result) => result === 'wrong-password wrong-password guess')).toHaveLength(3)
  expect(results.filter((result) => result === 'locked locked')).toHaveLength(7)
})

test('[FT35] the reason of a refusal reaches the guest', async () => {
  const reasons: Record<HostRefusal, true> = {
    locked: true,
    taken: true,
    stopped: true,
    expired: true,
    busy: true,
  }
  for (const reason of Object.keys(reasons) as HostRefusal[]) {
    const secrets = { ...hostSecrets.link, refuse: () => reason }
    expect(await outcome(guestSecrets.link, secrets)).toBe(`${reason} ${reason}`)
  }
  const unknown = (bytes: Bytes, type: number): Bytes[] => [type === 2 ? Uint8Array.of(1, 5, 99) : bytes]
  expect(await outcome(guestSecrets.link, hostSecrets.link, { relay: unknown })).toBe(
    'incompatible broken-off',
  )
})

test('[FT35] SPEC.md lists the reasons of refusals', () => {
  const spec = readFileSync(new URL('../SPEC.md', import.meta.url), 'utf8')
  const rows = readTable(spec, 'Refusals').map(({ why = '', byte }): [string, number] => [why, Number(byte)])
  expect(Object.fromEntries(rows)).toEqual(refusalCodes)
})

test('[FT40] a guest that plays the host to another guest has the secret and not the key', async () => {
  expect(await outcome(guestSecrets.link, { ...hostSecrets.link, keyPair: createKeyPair() })).toBe(
    'wrong-key ok',
  )
  // It shows the right public key, and cannot sign with it.
  const mixed = { publicKey: keyPair.publicKey, secretKey: createKeyPair().secretKey }
  expect(hashOfKey(mixed.publicKey)).toEqual(linkKey.keyHash)
  for (const kind of ['link', 'link+password', 'code'] as const)
    expect(await outcome(guestSecrets[kind], { ...hostSecrets[kind], keyPair: mixed }), kind).toBe(
      'wrong-key ok',
    )
})

test('[FT45] a line that is closed, and one that refuses to send, end the handshake as broken off', async () => {
  const closed = new LineEnd()
  closed.close()
  expect(await connectAsGuest(closed, contexts.guest, guestSecrets.link)).toEqual({
    ok: false,
    why: 'broken-off',
  })
  const secrets = { keyPair, ...hostSecrets.link }
  expect(await answerAsHost(closed, contexts.host, secrets)).toEqual({
    ok: false,
    why: 'broken-off',
    kind: undefined,
    isGuess: false,
  })
  const deaf = {
    send: () => Promise.reject(new Error('no')),
    receive: () => new Promise<Bytes>(() => undefined),
  }
  expect(await connectAsGuest(deaf, contexts.guest, guestSecrets.code)).toEqual({
    ok: false,
    why: 'broken-off',
  })
})
