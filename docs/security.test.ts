import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { readDocument } from '@peerage/test-support/documents.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The rows of the ASVS table: the requirement and the file of its test. */
const rows = Array.from(
  readDocument('SECURITY.md').matchAll(
    /^\| (\d+\.\d+\.\d+) [^|]*\|[^|]*\|[^|]*\| \[[^\]]*\]\(([^)]+)\) \|$/gm,
  ),
  ([, id = '', file = '']) => ({ id, file }),
)

describe('each requirement of the ASVS table has the test that it names', () => {
  test.each(rows)('$id in $file', ({ id, file }) => {
    expect(existsSync(join(ROOT, file))).toBe(true)
    expect(readDocument(file)).toMatch(
      new RegExp(`['"\`].*ASVS (?:\\d+\\.\\d+\\.\\d+, )*${id.replaceAll('.', '\\.')}\\b`),
    )
  })

  test('and the table has them all', () => {
    const websocket = ['4.4.1', '4.4.2', '4.4.3', '4.4.4']
    const tokens = ['9.1.1', '9.1.2', '9.1.3', '9.2.1', '9.2.2', '9.2.3', '9.2.4']
    const webrtc = ['17.1.1', '17.1.2', '17.2.8', '17.3.1', '17.3.2']
    expect(rows.map(({ id }) => id)).toEqual([...websocket, ...tokens, ...webrtc])
  })
})
