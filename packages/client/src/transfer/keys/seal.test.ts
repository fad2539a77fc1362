import { createCipheriv, createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { repeatableRandom } from '../../testing/handshake-pair.js'
import { toHex, utf8 } from './bytes.js'
import type { Bytes } from './bytes.js'
import { sha256 } from '../hash.js'
import { createSeal, SEAL_BYTES } from './seal.js'
import type { Seal, SealOptions } from './seal.js'

const random = repeatableRandom('seal')
const [one, two] = [random(32), random(32)]
const plainHttp: SealOptions = { platform: {} }

async function pair(ours: SealOptions = {}, theirs: SealOptions = {}): Promise<[Seal, Seal]> {
  return Promise.all([createSeal({ out: one, in: two }, ours), createSeal({ out: two, in: one }, theirs)])
}
async function sealed(seal: Seal, text: string): Promise<Bytes> {
  const result = await seal.seal(utf8(text))
  if (!result.ok) throw new Error(result.why)
  return result.bytes
}
async function opened(seal: Seal, bytes: Bytes): Promise<string> {
  const result = await seal.open(bytes)
  return result.ok ? new TextDecoder().decode(result.bytes) : result.why
}

/** What SPEC.md says, in Node's own words. */
function sealedByNode(count: number): string {
  const cipher = createCipheriv('aes-256-gcm', one, Buffer.from(count.toString(16).padStart(24, '0'), 'hex'))
  return Buffer.concat([cipher.update('same'), cipher.final(), cipher.getAuthTag()]).toString('hex')
}

test.each([
  [{}, {}],
  [{}, plainHttp],
  [plainHttp, {}],
  [plainHttp, plainHttp],
])('[FT46, FT48] what one side seals the other opens, with crypto.subtle and without', async (a, b) => {
  const [ours, theirs] = await pair(a, b)
  for (const text of ['', 'one', 'two', 'x'.repeat(150_000)]) {
    const bytes = await sealed(ours, text)
    expect(bytes).toHaveLength(text.length + SEAL_BYTES)
    expect(await opened(theirs, bytes)).toBe(text)
    expect(await opened(ours, await sealed(theirs, text))).toBe(text)
  }
})

test('[FT46, FT48] the bytes are the same with crypto.subtle and without, and differ from message to message', async () => {
  const [fast, slow] = [
    await createSeal({ out: one, in: two }),
    await createSeal({ out: one, in: two }, plainHttp),
  ]
  const all: string[] = []
  for (let count = 0; count < 3; count++) {
    const bytes = toHex(await sealed(fast, 'same'))
    expect(toHex(await sealed(slow, 'same'))).toBe(bytes)
    all.push(bytes)
  }
  expect(new Set(all).size).toBe(3)
  expect(all).toEqual([0, 1, 2].map(sealedByNode))
})

test('[FT46] messages that are sealed and opened at once keep their order', async () => {
  const [ours, theirs] = await pair()
  const texts = Array.from({ length: 40 }, (_, count) => String(count).repeat(1 + ((count * 7_919) % 9_000)))
  const all = await Promise.all(texts.map((text) => sealed(ours, text)))
  expect(await Promise.all(all.map((bytes) => opened(theirs, bytes)))).toEqual(texts)
})

test.each([[{}], [plainHttp]])('[FT46] nothing after a wrong message is opened', async (options) => {
  const wrong: ((messages: Bytes[], ofOthers: Bytes) => (Bytes | undefined)[])[] = [
    ([a, b]) => [a, a, b],
    ([a, b, c]) => [b, a, c],
    ([a, , c]) => [a, c],
    ([a, b, c]) => [a, b?.map((byte, at) => (at === 0 ? byte ^ 1 : byte)), b, c],
    ([a, b]) => [a, new Uint8Array(), b],
    ([a, b], ofOthers) => [a, ofOthers, b],
  ]
  for (const change of wrong) {
    const [ours, theirs] = await pair(options, options)
    const ofOthers = await sealed(theirs, 'reflected')
    const arrived = change(
      [await sealed(ours, 'a'), await sealed(ours, 'b'), await sealed(ours, 'c')],
      ofOthers,
    )
    const results = await Promise.all(arrived.map((bytes) => opened(theirs, bytes ?? new Uint8Array())))
    const failedAt = results.indexOf('not-authentic')
    expect(failedAt).toBeGreaterThanOrEqual(0)
    expect(results.slice(failedAt).every((result) => result === 'not-authentic')).toBe(true)
  }
})

test('[FT46] any sequence that differs from what was sealed is cut where it first differs', async () => {
  const sent = await (async () => {
    const [ours] = await pair()
    return Promise.all(['0', '1', '2', '3', '4'].map((text) => sealed(ours, text)))
  })()
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(4), { maxLength: 7 }), async (order) => {
      const [, theirs] = await pair()
      const results = await Promise.all(order.map((at) => opened(theirs, sent[at] ?? new Uint8Array())))
      const right = order.findIndex((at, place) => at !== place)
      const count = right < 0 ? order.length : right
      expect(results).toEqual(order.map((at, place) => (place < count ? String(at) : 'not-authentic')))
    }),
    { numRuns: 40 },
  )
})

test('[FT47] a key seals and opens a limited number of messages', async () => {
  const [ours, theirs] = await pair({ messagesMax: 2 }, { messagesMax: 2 })
  const [a, b] = [await sealed(ours, 'a'), await sealed(ours, 'b')]
  expect(await ours.seal(utf8('c'))).toEqual({ ok: false, why: 'used-up' })
  expect([await opened(theirs, a), await opened(theirs, b), await opened(theirs, b)]).toEqual([
    'a',
    'b',
    'used-up',
  ])
})

test('[FT48] SHA-256 is the same with crypto.subtle and without', async () => {
  for (const length of [0, 1, 63, 64, 100_000]) {
    const bytes = random(length)
    const expected = createHash('sha256').update(bytes).digest('hex')
    expect([toHex(await sha256(bytes)), toHex(await sha256(bytes, {}))]).toEqual([expected, expected])
  }
})
