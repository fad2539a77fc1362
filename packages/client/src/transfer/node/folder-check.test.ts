import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { blockOf, content, emptyFile, fileOf, putAll } from '../../testing/stored-file.js'
import type { OfferedFile } from '../types.js'
import { folderStore } from './folder-store.js'

let outside: string
let folder: string
beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'store-'))
  folder = join(outside, 'folder')
})
afterEach(() => rmSync(outside, { recursive: true, force: true }))

const MADE = 1_700_000_000_000

describe('[FT88] what is in the way is known before a file is accepted', () => {
  /** The messages, by path. */
  async function check(paths: readonly string[], more: Partial<OfferedFile> = {}, options = {}) {
    const files = paths.map((path, id) => fileOf(path, { id, ...more }))
    const found = await folderStore(folder, options).check(files)
    return Object.fromEntries(found.map(({ file, error }) => [file.path, error.message]))
  }

  test('names, files, folders and links', async () => {
    mkdirSync(join(folder, 'dir'), { recursive: true })
    for (const name of ['a', 'b.part']) writeFileSync(join(folder, name), 'precious')
    symlinkSync('..', join(folder, 'link'))
    const paths = ['new', 'sub/new', 'a', 'a/x', 'b', 'dir', 'link/x', '../evil']
    const always = {
      'a/x': 'a is a file, and no folder',
      b: 'b.part exists already: remove it',
      dir: 'dir is a folder here already',
      'link/x': 'link is a symbolic link, which is not followed',
      '../evil': 'the name "../evil" leads out of the folder',
    }
    expect(await check(paths)).toEqual({ a: 'a exists already', ...always })
    expect(await check(paths, {}, { overwrite: true })).toEqual(always)
  })

  test('two files of one name get two names, so the second may have another thing in its way', async () => {
    mkdirSync(folder)
    writeFileSync(join(folder, 'a (2)'), '')
    const files = [fileOf('a', { id: 1 }), fileOf('a', { id: 2 })]
    const found = await folderStore(folder).check(files)
    expect(found.map(({ file, error }) => [file.id, error.message])).toEqual([[2, 'a (2) exists already']])
  })

  const noRoomFor = (name: string): unknown =>
    expect.stringMatching(
      new RegExp(`^${name} does not fit: it needs [\\d,]+ MB, and the disk has [\\d,]+ MB left for it$`),
    )

  test('files that do not fit the disk, each by itself', async () => {
    expect(await check(['a', 'b'], { size: 2 ** 51 })).toEqual({ a: noRoomFor('a'), b: noRoomFor('b') })
    expect(await check([])).toEqual({})
  })

  test('of files that fit alone and not together, those that fit beside the ones before them are fine', async () => {
    const { bavail, bsize } = statfsSync(outside)
    const sizes = { a: 0.6, b: 0.6, 'sub/c': 0.3, d: 0.6, e: 0 }
    const files = Object.entries(sizes).map(([path, share], id) =>
      fileOf(path, { id, size: Math.floor(share * bavail * bsize) }),
    )
    const found = await folderStore(folder).check(files)
    expect(found.map(({ file, error: { message } }) => [file.path, message])).toEqual([
      ['b', noRoomFor('b')],
      ['d', noRoomFor('d')],
    ])
    expect(found.map(({ file }) => files.indexOf(file))).toEqual([1, 3])
  })

  test('what was begun before is not in its own way, in whichever share', async () => {
    const target = await folderStore(folder).open(fileOf('a', { id: 0 }), 'share')
    await target.put(0, blockOf(0))
    await target.close()
    expect(await check(['a'])).toEqual({})
    expect(await check(['a'], { modifiedAt: 5 })).toEqual({
      a: 'a.part is left of another transfer: remove it and a.part.journal',
    })
    expect(await check(['a'], { modifiedAt: 5 }, { overwrite: true })).toEqual({})
  })

  test('a folder that is a file', async () => {
    writeFileSync(folder, '')
    expect(await check(['a'])).toEqual({ a: 'a: something with this name exists already' })
  })
})

describe('[FT85] a file that is whole since an earlier try is kept', () => {
  const first = fileOf('a', { modifiedAt: MADE })
  async function receive(): Promise<void> {
    const target = await folderStore(folder).open(first, 'share')
    await putAll(target)
    await target.finish()
  }

  test('all its blocks are there, and it stays as it is', async () => {
    await receive()
    expect(await folderStore(folder).check([first])).toEqual([])
    const again = await folderStore(folder).open(first, 'share')
    expect([...again.kept]).toEqual([0, 1, 2, 3].map((index) => [index, blockOf(index).hash]))
    expect(await again.finish()).toEqual({ kind: 'saved', where: join(folder, 'a') })
    await (await folderStore(folder).open(first, 'share')).discard()
    expect(readFileSync(join(folder, 'a')).equals(content)).toBe(true)
    expect(existsSync(join(folder, 'a.part'))).toBe(false)
  })

  test('one of another size or time, or without a time, exists already', async () => {
    await receive()
    for (const file of [
      fileOf('a'),
      fileOf('a', { modifiedAt: MADE + 1 }),
      emptyFile('a', { modifiedAt: MADE }),
    ])
      await expect(folderStore(folder).open(file, 'share')).rejects.toMatchObject({ reason: 'exists' })
  })

  test('it is received anew if it may be replaced', async () => {
    await receive()
    const target = await folderStore(folder, { overwrite: true }).open(first, 'share')
    expect(target.kept.size).toBe(0)
    await target.close()
  })
})
