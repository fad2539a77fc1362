import { join } from 'node:path'
import { expect, test } from 'vitest'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { ORDERS, tryHouse } from './try-house.js'

// Those whose packages are installed here; `npm run test:frameworks` tries all.
const HOUSES = ['plain', 'express-listen', 'socket.io', 'vite-middleware']

test.each(HOUSES.flatMap((name) => ORDERS.map((order) => [name, order] as const)))(
  'a node and an application share one HTTP server: %s, the node %s',
  async (name, order) => {
    const program = join(REPOSITORY, `test/frameworks/houses/${name}.mjs`)
    const { checks, output } = await tryHouse(program, order, REPOSITORY)
    const failed = Object.entries(checks).filter(([, outcome]) => outcome !== 'ok')
    expect(failed, output).toEqual([])
    expect(Object.keys(checks)).toContain('ends on SIGTERM')
  },
)
