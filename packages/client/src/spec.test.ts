import { readFileSync } from 'node:fs'
import { temporary } from '@peerage/protocol'
import type { ErrorCode } from '@peerage/protocol'
import { readTable } from '@peerage/test-support/testing/protocol.js'
import { expect, test } from 'vitest'
import { decodeBody, encodeBody, encodeParts, partsOf } from './delivery/body.js'
import { verdicts } from './delivery/line.js'
import type { SendFailure } from './lib/error.js'

// What documents say of bodies, notices and ends of a message is what the SDK does.

const spec = readFileSync(new URL('../../protocol/SPEC.md', import.meta.url), 'utf8')
const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

test('SPEC.md tells how a body is encoded', () => {
  const rows = readTable(spec, 'Bodies')
  expect(rows).toHaveLength(4)
  for (const { body = '', 'such as': such = '', 'as a body': encoded = '' } of rows) {
    const [, bytes] = /^bytes (.*)$/.exec(such) ?? []
    const data: unknown = bytes ? Uint8Array.from(bytes.split(', '), Number) : such && JSON.parse(such)
    if (such !== '') {
      expect(encodeBody(data), body).toBe(encoded)
      expect(decodeBody(encoded), body).toEqual(data)
    }
    if (body.startsWith('`')) expect(encoded || 'p').toBe((encoded || 'p').replace(/^./, body[1] ?? ''))
  }
  expect(decodeBody('"hé"')).toBe('hé')
  const parts = encodeParts('x'.repeat(100_000)) ?? []
  expect(parts.map((part) => part.slice(0, 2))).toEqual(['p3', 'p0', 'p0'])
  expect(parts.map(partsOf)).toEqual([3, 0, 0])
})

test('[WE2] SPEC.md tells what a notice means for its message', () => {
  const told = new Map(readTable(spec, 'Notices').map((row) => [row['code'], row['the message'] ?? '']))
  for (const code of Object.keys(temporary) as ErrorCode[]) {
    const [, end] = /^ends: `([a-z-]+)`/.exec(told.get(code) ?? '') ?? []
    expect(end, code).toBe(verdicts[code])
    told.delete(code)
  }
  expect([...told.keys()]).toEqual(['any other'])
})

test('the README tells every way in which a send fails', () => {
  const all: Record<SendFailure, true> = {
    unavailable: true,
    timeout: true,
    'rate-limited': true,
    'queue-full': true,
    'too-large': true,
    incompatible: true,
    'relay-refused': true,
    aborted: true,
    closed: true,
  }
  const told = readTable(readme, 'How a send fails').map(({ code }) => code)
  expect(told.sort()).toEqual(Object.keys(all).sort())
})

test('the README tells how large a message may be', () => {
  const [, characters = '', bytes = ''] = /([\d,]+) characters of ASCII, or ([\d,]+) bytes/.exec(readme) ?? []
  const sizeOf = (text: string): number => Number(text.replaceAll(',', ''))
  for (const [make, size] of [
    [(length: number) => 'x'.repeat(length), sizeOf(characters)],
    [(length: number) => new Uint8Array(length), sizeOf(bytes)],
  ] as const)
    expect([encodeParts(make(size))?.length, encodeParts(make(size + 1))]).toEqual([4, undefined])
})
