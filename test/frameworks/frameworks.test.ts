import { join } from 'node:path'
import { expect, test } from 'vitest'
import { REPOSITORY } from '../support/node.js'
import { tryHouse } from './try-house.js'

// Those whose packages are installed here; `npm run test:frameworks` tries all.
test.each(['plain', 'plain-ws-first', 'express', 'express-listen', 'socket.io', 'hono', 'vite-middleware'])(
  'a node and an application share one HTTP server: %s',
  async (name) => {
    const { checks, output } = await tryHouse(
      join(REPOSITORY, `test/frameworks/houses/${name}.mjs`),
      REPOSITORY,
    )
    const failed = Object.entries(checks).filter(([, outcome]) => outcome !== 'ok')
    expect(failed, output).toEqual([])
    expect(Object.keys(checks)).toContain('ends on SIGTERM')
  },
)
