import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { emptyFile, fileOf } from '../../testing/stored-file.js'
import type { Block, Received } from '../types.js'
import { BLOCK_BYTES } from '../types.js'
import { folderStore, type FolderStore } from './folder-store.js'
import { syncFolder } from './sync-folder.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const inFolder = (): string[] => readdirSync(folder, { recursive: true }).map(String).sort()
const sha = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  new Uint8Array(createHash('sha256').update(bytes).digest())
const blockOf = (text: string): Block => {
  const bytes = new TextEncoder().encode(text)
  return { bytes, hash: sha(bytes) }
}
async function receive(store: FolderStore, path: string, text: string, id = 1): Promise<Received> {
  const block = blockOf(text)
  const target = await store.open(fileOf(path, { id, size: block.bytes.length }), 'share')
  expect(await target.put(0, block)).toBe(true)
  return target.finish()
}

describe('[FT84] a file of at most one block is written whole', () => {
  test('nothing is in the folder until it is finished', async () => {
    const bytes = new Uint8Array(BLOCK_BYTES).fill(7)
    const modifiedAt = 1_700_000_000_000
    const target = await folderStore(folder).open(fileOf('a/b', { size: bytes.length, modifiedAt }), 'share')
    await target.put(0, { bytes, hash: sha(bytes) })
    expect(inFolder()).toEqual([])
    expect(await target.finish()).toEqual({ kind: 'saved', where: join(folder, 'a/b') })
    expect(inFolder()).toEqual(['a', 'a/b'])
    expect(statSync(join(folder, 'a/b')).mtimeMs).toBe(modifiedAt)
    expect(readFileSync(join(folder, 'a/b')).equals(bytes)).toBe(true)
  })

  test('a block that is not what its hash says, or not as long as the file, is not kept', async () => {
    const target = await folderStore(folder).open(fileOf('a', { size: 5 }), 'share')
    expect(await target.put(0, { ...blockOf('hello'), hash: blockOf('other').hash })).toBe(false)
    expect(await target.put(0, blockOf('hell'))).toBe(false)
    expect(await target.put(1, blockOf('hello'))).toBe(false)
    await expect(target.finish()).rejects.toThrow('before its block has come')
    await target.discard()
    expect(inFolder()).toEqual([])
  })

  test('hundreds at once, in folders that do not exist yet', async () => {
    const store = folderStore(folder)
    const paths = Array.from({ length: 300 }, (_, id) => `f${id % 3}/g/${id}`)
    await Promise.all(paths.map((path, id) => receive(store, path, path, id)))
    for (const path of paths) expect(readFileSync(join(folder, path), 'utf8')).toBe(path)
    expect(inFolder()).toHaveLength(300 + 6)
  })

  test('[FT87] one that came in the meantime stays, unless it may be replaced, and nothing else is left', async () => {
    for (const overwrite of [false, true]) {
      const target = await folderStore(folder, { overwrite }).open(fileOf('a', { size: 5 }), 'share')
      await target.put(0, blockOf('hello'))
      writeFileSync(join(folder, 'a'), 'precious')
      if (overwrite) await target.finish()
      else await expect(target.finish()).rejects.toMatchObject({ reason: 'exists' })
      expect(readFileSync(join(folder, 'a'), 'utf8')).toBe(overwrite ? 'hello' : 'precious')
      expect(inFolder()).toEqual(['a'])
      rmSync(join(folder, 'a'))
    }
  })

  test('two receivers of one file into one folder both have it', async () => {
    const file = fileOf('a', { size: 5, modifiedAt: 1_700_000_000_000 })
    const targets = await Promise.all([1, 2, 3].map(() => folderStore(folder).open(file, 'share')))
    const [first, second, other] = targets
    for (const target of [first, second]) {
      await target?.put(0, blockOf('hello'))
      expect(await target?.finish()).toEqual({ kind: 'saved', where: join(folder, 'a') })
    }
    await other?.put(0, blockOf('other'))
    await expect(other?.finish()).rejects.toMatchObject({ reason: 'exists' })
    expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('hello')
  })

  test('what a killed process has left is removed, and what others are writing stays', async () => {
    const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
    mkdirSync(join(folder, 'sub'))
    const names = [`999999999-${host}-0`, `${process.pid}-${host}-99999`, `${process.ppid}-${host}-0`]
    for (const name of [...names, '999999999-00000000-0', 'notes'])
      writeFileSync(join(folder, 'sub', `.peerage-new-${name}`), '')
    await receive(folderStore(folder), 'sub/a', 'hello')
    expect(readdirSync(join(folder, 'sub')).sort()).toEqual(
      [
        '.peerage-new-999999999-00000000-0',
        `.peerage-new-${process.ppid}-${host}-0`,
        '.peerage-new-notes',
        'a',
      ].sort(),
    )
  })

  test("what cannot be removed or listed of that is in nobody's way", async () => {
    const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
    mkdirSync(join(folder, 'sub', `.peerage-new-999999999-${host}-0`), { recursive: true })
    await receive(folderStore(folder), 'sub/a', 'hello')
    expect(readFileSync(join(folder, 'sub', 'a'), 'utf8')).toBe('hello')
  })

  test('an empty file that is closed leaves nothing', async () => {
    await (await folderStore(folder).open(emptyFile('a'), 'share')).close()
    expect(inFolder()).toEqual([])
  })
})

test('all who ask for a sync of a folder get one, also of a folder that is gone', async () => {
  await Promise.all(Array.from({ length: 50 }, () => syncFolder(folder)))
  await syncFolder(join(folder, 'gone'))
})
