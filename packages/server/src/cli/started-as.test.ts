import { describe, expect, test } from 'vitest'
import { startedAs } from './started-as.js'

describe('messages name a command as it was started', () => {
  const directory = '/srv/peerage'

  test.each([
    ['by its name', '/usr/bin/peerage', 'peerage'],
    ['by its name in node_modules', `${directory}/node_modules/.bin/peerage`, 'peerage'],
    ['by its file', `${directory}/packages/server/bin/peerage.js`, 'node packages/server/bin/peerage.js'],
  ])('%s', (_, script, program) => {
    const expected = { program, serve: `${program} serve` }
    expect(startedAs({ script, directory, env: {} })).toEqual(expected)
    const env = { npm_lifecycle_event: 'test', npm_lifecycle_script: 'node scripts/test.mjs' }
    expect(startedAs({ script, directory, env })).toEqual(expected)
  })

  test.each(['node scripts/start.mjs', 'peerage serve'])('by npm start, which runs %j', (runs) => {
    const env = { npm_lifecycle_event: 'start', npm_lifecycle_script: runs }
    expect(startedAs({ script: '/x/peerage', directory, env }).serve).toBe('npm start --')
  })
})
