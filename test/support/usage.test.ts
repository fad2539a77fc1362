import { expect, test } from 'vitest'
import { REPOSITORY } from './node.js'
import { startChild } from './process.js'

const DEADLINE_MS = 30_000

// Each command refuses its arguments before it starts anything.
test.each([
  { script: 'run.mjs attack', wrong: ['--nope'], told: "Unknown option '--nope'" },
  {
    script: 'run.mjs attack',
    wrong: ['--seconds', 'x'],
    told: '--seconds must be a number up to 60, not "x"',
  },
  {
    script: 'run.mjs chaos',
    wrong: ['--peers', ''],
    told: '--peers must be a whole number of at least 1, not ""',
  },
  { script: 'run.mjs chaos', wrong: ['--faults', 'F1,F99'], told: 'unknown fault: F99; known are F1' },
  { script: 'run.mjs bundlers', wrong: ['--only', 'nope'], told: 'unknown bundler: nope; known are ' },
  { script: 'run.mjs frameworks', wrong: ['express'], told: "Unexpected argument 'express'" },
  { script: 'run.mjs stacks', wrong: ['--only', '--write'], told: "Option '--only' argument is ambiguous" },
  { script: 'nodes.mjs', wrong: ['26', '--nope'], told: "Unknown option '--nope'" },
  { script: 'servers.mjs', wrong: ['--nope'], told: 'unknown server: --nope' },
])(
  '$script $wrong: the first line says what is wrong, then comes the usage',
  async ({ script, wrong, told }) => {
    const [file = '', ...folder] = script.split(' ')
    const args = [`${REPOSITORY}scripts/${file}`, ...folder, ...wrong]
    const child = await startChild({ command: process.execPath, args })
    const timer = setTimeout(() => void child.kill(), DEADLINE_MS)
    const { code } = await child.stopped
    clearTimeout(timer)
    const lines = child.lines.filter((line) => !line.startsWith('▸ packages:'))
    expect(lines[0], child.output()).toContain(told)
    expect(lines.slice(1, 3), child.output()).toEqual(['', expect.stringMatching(/^npm run [a-z:]+ -- \[/)])
    expect(child.output()).not.toMatch(/^ +at /m)
    expect(code).toBe(2)
  },
)
