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

  test.each([
    ['from the folder', `${directory}/node_modules/.bin/peerage`, 'npx --no-install peerage'],
    ['from the cache', '/cache/_npx/0a1b/node_modules/.bin/peerage', 'npx peerage'],
  ])('by npx, %s', (_, script, program) => {
    const expected = { program, serve: `${program} serve` }
    for (const runs of ["'peerage'", 'peerage send a.txt'])
      expect(
        startedAs({ script, directory, env: { npm_lifecycle_event: 'npx', npm_lifecycle_script: runs } }),
      ).toEqual(expected)
    // A shell that npx has started finds the program by its name.
    const shell = { npm_lifecycle_event: 'npx', npm_lifecycle_script: "'bash'" }
    expect(startedAs({ script, directory, env: shell }).program).toBe('peerage')
  })

  test.each(['node scripts/start.mjs', 'peerage serve'])('by npm start, which runs %j', (runs) => {
    const env = { npm_lifecycle_event: 'start', npm_lifecycle_script: runs }
    expect(startedAs({ script: '/x/peerage', directory, env }).serve).toBe('npm start --')
  })
})
