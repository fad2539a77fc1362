import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connect } from '../entries/node.js'
import { fileStorage } from '../entries/node-only.js'
import type { Peer } from '../peer.js'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { FakeTier } from '../testing/fake-tier.js'

let folder: string
let file: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'peerage-storage-'))
  file = join(folder, 'peer.json')
})
afterEach(() => rmSync(folder, { recursive: true }))

test('a stored value is there for the next storage, readable for this user only, and no temporary file is left', () => {
  const storage = fileStorage(file)
  expect(storage.getItem('a')).toBeNull()
  storage.removeItem('a')
  storage.setItem('a', '1')
  storage.setItem('__proto__', '2')
  const next = fileStorage(file)
  expect([next.getItem('a'), next.getItem('__proto__'), next.getItem('constructor')]).toEqual([
    '1',
    '2',
    null,
  ])
  next.removeItem('a')
  expect(storage.getItem('a')).toBeNull()
  expect(statSync(file).mode & 0o777).toBe(0o600)
  chmodSync(file, 0o644)
  storage.setItem('b', '3')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readdirSync(folder)).toEqual(['peer.json'])
})

test.each(['{', '[]', 'null', '{"name":"my-app","version":"1.0.0"}', '{"format":"peerage identities 1"}'])(
  'a file that holds something else (%s) is an error that says what to do, and is not changed',
  (text) => {
    writeFileSync(file, text)
    expect(() => fileStorage(file)).toThrow(
      /peer\.json was not written by fileStorage.*delete it, or name another file/,
    )
    expect(readFileSync(file, 'utf8')).toBe(text)
  },
)

test('an empty file is a storage without values', () => {
  writeFileSync(file, '')
  const storage = fileStorage(file)
  storage.setItem('a', '1')
  expect(storage.getItem('a')).toBe('1')
})

test('a missing folder, and a folder in place of the file, are errors that name it', () => {
  expect(() => fileStorage(join(folder, 'none', 'peer.json'))).toThrow(
    /cannot write to .*none: make the folder/,
  )
  expect(() => fileStorage(folder)).toThrow(
    `fileStorage cannot use ${folder}: it is a folder; name a file in it`,
  )
  expect(() => fileStorage(undefined as never)).toThrow(
    new TypeError('the path of fileStorage must be a string; it is undefined'),
  )
})

test('[I8] the next run of a program is the same peer, also after a crash; after a leave it is another one', async () => {
  const clock = new FakeClock()
  const tier = new FakeTier(clock)
  const run = async (): Promise<Peer> => {
    const storage = fileStorage(file)
    const joining = connect('http://tier', { name: 'ann', storage, clock, transport: tier.open, p2p: false })
    await clock.advance(5)
    return joining
  }
  const first = await run()
  first.close()
  const second = await run()
  expect(second.since).toBe(first.since)
  // A crash can leave such a file behind.
  const kept = readFileSync(file, 'utf8')
  void second.leave()
  await clock.advance(5)
  expect(readFileSync(file, 'utf8')).not.toBe(kept)
  expect((await run()).since).not.toBe(first.since)
})

test('a file that is damaged while a peer runs does not affect this peer', async () => {
  const clock = new FakeClock()
  const tier = new FakeTier(clock)
  const joining = connect('http://tier', {
    name: 'ann',
    storage: fileStorage(file),
    clock,
    transport: tier.open,
    p2p: false,
  })
  writeFileSync(file, 'damaged')
  await clock.advance(5)
  const ann = await joining
  expect(ann.state.state).toBe('online')
  ann.close()
  expect(readFileSync(file, 'utf8')).toBe('damaged')
})
