import { readFileSync } from 'node:fs'
import { closeCodes, temporary } from '@peerage/protocol'
import type { ErrorCode } from '@peerage/protocol'
import { readTable } from '@peerage/test-support/testing/protocol.js'
import { expect, test } from 'vitest'
import { decodeBody, encodeBody, encodeFragments, fragmentCountOf } from './delivery/body.js'
import { noticeResults } from './delivery/line.js'
import type { SendFailure } from './lib/error.js'

// The SDK does what the documents say about bodies, notices, failed sends and error codes.

const spec = readFileSync(new URL('../../protocol/SPEC.md', import.meta.url), 'utf8')
const readme = readFileSync(new URL('../../../docs/sdk.md', import.meta.url), 'utf8')

test('SPEC.md says how a body is encoded', () => {
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
  const fragments = encodeFragments('x'.repeat(100_000)) ?? []
  expect(fragments.map((one) => one.slice(0, 2))).toEqual(['p3', 'p0', 'p0'])
  expect(fragments.map(fragmentCountOf)).toEqual([3, 0, 0])
})

test('[WE2] SPEC.md says what a notice means for its message', () => {
  const told = new Map(readTable(spec, 'Notices').map((row) => [row['code'], row['the message'] ?? '']))
  for (const code of Object.keys(temporary) as ErrorCode[]) {
    const [, end] = /^ends: `([a-z-]+)`/.exec(told.get(code) ?? '') ?? []
    expect(end, code).toBe(noticeResults[code])
    told.delete(code)
  }
  expect([...told.keys()]).toEqual(['any other'])
})

const sendFailures: Record<SendFailure, true> = {
  forbidden: true,
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

test('the README lists every code of a failed send', () => {
  const told = readTable(readme, 'How a send fails').map(({ code }) => code)
  expect(told.sort()).toEqual(Object.keys(sendFailures).sort())
})

test('the docstring of PeerageErrorCode lists every code', () => {
  const source = readFileSync(new URL('lib/error.ts', import.meta.url), 'utf8')
  const [, docstring = ''] = /\/\*\*((?:(?!\*\/)[^])*)\*\/\nexport type PeerageErrorCode/.exec(source) ?? []
  for (const code of [...Object.keys(temporary), ...Object.keys(closeCodes)])
    if (!(code in sendFailures)) expect(docstring).toContain(`\`${code}\``)
})

test('the README says how large a message may be', () => {
  const [, characters = '', bytes = ''] = /([\d,]+) characters of ASCII, or ([\d,]+) bytes/.exec(readme) ?? []
  const sizeOf = (text: string): number => Number(text.replaceAll(',', ''))
  for (const [make, size] of [
    [(length: number) => 'x'.repeat(length), sizeOf(characters)],
    [(length: number) => new Uint8Array(length), sizeOf(bytes)],
  ] as const)
    expect([encodeFragments(make(size))?.length, encodeFragments(make(size + 1))]).toEqual([4, undefined])
})
