import { expect, test } from 'vitest'
import { aclRules } from './acl.js'
import * as indexScripts from './scripts/index.js'
import * as mailboxScripts from './scripts/mailbox.js'
import * as nameScripts from './scripts/names.js'
import * as nodeScripts from './scripts/nodes.js'
import * as poolScripts from './scripts/pools.js'
import * as recordScripts from './scripts/records.js'
import * as roomScripts from './scripts/rooms.js'
import * as seatScripts from './scripts/seats.js'

const scripts = {
  ...indexScripts,
  ...mailboxScripts,
  ...nameScripts,
  ...nodeScripts,
  ...poolScripts,
  ...recordScripts,
  ...roomScripts,
  ...seatScripts,
}

test('[KEY3] every command that a script calls is allowed', () => {
  const called = new Set<string>()
  for (const script of Object.values(scripts))
    for (const [, command = ''] of script.lua.matchAll(/redis\.p?call\('([A-Z]+)'/gu)) called.add(command)
  expect(called.size).toBeGreaterThan(10)
  for (const command of called) expect(aclRules).toContain(`+${command.toLowerCase()}`)
})

test('every script names its commands literally, so that the test above finds them', () => {
  for (const script of Object.values(scripts))
    for (const [call] of script.lua.matchAll(/redis\.p?call\([^)]*/gu))
      expect(call).toMatch(/call\('[A-Z]+'/u)
})
