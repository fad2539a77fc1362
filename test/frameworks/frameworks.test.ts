import { join } from 'node:path'
import { expect, test } from 'vitest'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { ORDERS, tryProgram } from './try-program.js'

// The programs whose packages `npm ci` installs. `npm run test:frameworks` runs all.
const PROGRAMS = ['plain', 'express-listen', 'socket.io', 'vite-middleware']

test.each(PROGRAMS.flatMap((name) => ORDERS.map((order) => [name, order] as const)))(
  'a node and an application share one HTTP server: %s, node attached %s',
  async (name, order) => {
    const program = join(REPOSITORY, `test/frameworks/programs/${name}.mjs`)
    const { checks, output } = await tryProgram(program, order, REPOSITORY)
    const failed = Object.entries(checks).filter(([, outcome]) => outcome !== 'ok')
    expect(failed, output).toEqual([])
    expect(Object.keys(checks)).toContain('ends on SIGTERM')
  },
)
