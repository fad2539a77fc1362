import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { run } from '@peerage/test-support/process.js'

const FUZZ = fileURLToPath(new URL('../../packages/stun/fuzz.mjs', import.meta.url))
/** It takes half a minute on two free cores. */
const DEADLINE_MS = 240_000

test(
  '[STUN37] a million hostile datagrams: each is counted, answers are small and correct, memory stays flat',
  async () => {
    const output = await run(process.execPath, [FUZZ, '1000000'], DEADLINE_MS)
    expect(output).toContain('fuzz: passed')
  },
  DEADLINE_MS + 10_000,
)
