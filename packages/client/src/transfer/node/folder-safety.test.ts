import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { blockOf, content, fileOf, putAll } from '../../testing/stored-file.js'
import type { OfferedFile, Target } from '../types.js'
import { folderStore } from './folder-store.js'

let outside: string
let folder: string
beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'store-'))
  folder = join(outside, 'folder')
})
afterEach(() => rmSync(outside, { recursive: true, force: true }))

const receive = async (file: OfferedFile, options = {}) => {
  const target = await folderStore(folder, options).open(file, 'share')
  await putAll(target)
  return target.finish()
}
const inFolder = (): string[] => readdirSync(folder, { recursive: true }).map(String).sort()

describe('[FT86] nothing is written outside of the folder', () => {
  test.each(['../evil', '/etc/evil', 'a/../../evil', 'C:\\evil', '..\\evil', ''])(
    '%j is refused',
    async (path) => {
      await expect(receive(fileOf(path))).rejects.toMatchObject({ name: 'StoreError', reason: 'bad-name' })
      expect(readdirSync(outside)).toEqual([])
    },
  )

  test('a symbolic link to a folder is not followed', async () => {
    mkdirSync(join(outside, 'elsewhere'))
    mkdirSync(folder)
    symlinkSync('../elsewhere', join(folder, 'link'))
    for (const path of ['link/evil', 'link/a/evil'])
      await expect(receive(fileOf(path))).rejects.toMatchObject({
        message: 'link is a symbolic link, which is not followed',
      })
    expect(readdirSync(join(outside, 'elsewhere'))).toEqual([])
  })

  test('not even one that came after the file was begun', async () => {
    mkdirSync(join(outside, 'elsewhere'))
    const target = await folderStore(folder).open(fileOf('sub/evil'), 'share')
    mkdirSync(folder, { recursive: true })
    symlinkSync('../elsewhere', join(folder, 'sub'))
    await expect(target.put(0, blockOf(0))).rejects.toMatchObject({ reason: 'in-the-way' })
    await target.close()
    const begun = await folderStore(folder).open(fileOf('deep/evil'), 'share')
    await putAll(begun)
    rmSync(join(folder, 'deep'), { recursive: true })
    symlinkSync('../elsewhere', join(folder, 'deep'))
    await expect(begun.finish()).rejects.toMatchObject({ reason: 'in-the-way' })
    await begun.close()
    expect(readdirSync(join(outside, 'elsewhere'))).toEqual([])
  })

  test.each(['x', 'x.part', 'x.part.journal', 'x.part.lock'])(
    'a symbolic link %s is not written through',
    async (name) => {
      mkdirSync(folder)
      const victim = join(outside, 'victim')
      writeFileSync(victim, 'precious')
      symlinkSync('../victim', join(folder, name))
      await expect(receive(fileOf('x'))).rejects.toMatchObject({ name: 'StoreError' })
      expect(readlinkSync(join(folder, name))).toBe('../victim')
      expect(readFileSync(victim, 'utf8')).toBe('precious')
      if (name === 'x') await receive(fileOf('x'), { overwrite: true })
      expect(readFileSync(victim, 'utf8')).toBe('precious')
    },
  )

  test('the folder itself may be a symbolic link, because the person has named it', async () => {
    mkdirSync(join(outside, 'real'))
    symlinkSync('real', folder)
    await receive(fileOf('a'))
    expect(readdirSync(join(outside, 'real'))).toEqual(['a'])
  })
})

describe('[FT87] nothing is replaced without being asked', () => {
  test('a file that exists stays', async () => {
    mkdirSync(folder)
    writeFileSync(join(folder, 'a'), 'precious')
    await expect(receive(fileOf('a'))).rejects.toMatchObject({
      reason: 'exists',
      message: 'a exists already',
    })
    expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('precious')
    expect(inFolder()).toEqual(['a'])
    await receive(fileOf('a'), { overwrite: true })
    expect(readFileSync(join(folder, 'a')).equals(content)).toBe(true)
  })

  test('nor one that came in the meantime, and what was received is kept', async () => {
    const target = await folderStore(folder).open(fileOf('a'), 'share')
    await putAll(target)
    writeFileSync(join(folder, 'a'), 'precious')
    await expect(target.finish()).rejects.toMatchObject({ reason: 'exists' })
    await target.close()
    expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('precious')
    expect(inFolder()).toEqual(['a', 'a.part', 'a.part.journal'])
  })

  test('a folder is never replaced, and a file is no folder', async () => {
    mkdirSync(join(folder, 'a'), { recursive: true })
    await expect(receive(fileOf('a'), { overwrite: true })).rejects.toMatchObject({ reason: 'in-the-way' })
    writeFileSync(join(folder, 'b'), '')
    await expect(receive(fileOf('b/c'), { overwrite: true })).rejects.toMatchObject({
      message: 'b is a file, and no folder',
    })
  })

  test('two files of one name get two names, also after a new start', async () => {
    const [first, second] = [fileOf('A.txt', { id: 1 }), fileOf('a.txt', { id: 2 })]
    const store = folderStore(folder)
    const targets = [await store.open(first, 'share'), await store.open(second, 'share')]
    for (const target of targets) await target.put(0, blockOf(0))
    for (const target of targets) await target.close()
    expect(inFolder()).toContain('a (2).txt.part')
    const later = folderStore(folder)
    for (const file of [second, first]) {
      const target = await later.open(file, 'share')
      expect([...target.kept.keys()]).toEqual([0])
      await putAll(target)
      await target.finish()
    }
    expect(inFolder()).toEqual(['A.txt', 'a (2).txt'])
  })
})

describe('[FT84] no received file takes the names that are kept beside files', () => {
  const names = ['x', 'x.part', 'x.part.journal', 'X.PART.lock', 'x.part.part', '.peerage-ticket-1']
  const there = ['X.PART.lock_', '_.peerage-ticket-1', 'x', 'x.part.journal_', 'x.part.part_', 'x.part_']

  /** Each file differs in its first byte, so that a mixed-up one is seen. */
  async function putSmall(target: Target, id: number): Promise<void> {
    const bytes = new Uint8Array([id])
    await target.put(0, { bytes, hash: new Uint8Array(createHash('sha256').update(bytes).digest()) })
  }

  test.each([false, true])('whatever order they come in, with overwrite %s', async (overwrite) => {
    const order = fc.shuffledSubarray([...names.keys()], { minLength: names.length })
    await fc.assert(
      fc.asyncProperty(order, order, async (opening, finishing) => {
        rmSync(folder, { recursive: true, force: true })
        const store = folderStore(folder, { overwrite })
        const targets = new Map<number, Target>()
        for (const id of opening) {
          const target = await store.open(fileOf(names[id] ?? '', { id, size: 1 }), 'share')
          await putSmall(target, id)
          targets.set(id, target)
        }
        for (const id of finishing) {
          const received = await targets.get(id)?.finish()
          if (received?.kind !== 'saved') throw new Error('not saved')
          expect([...readFileSync(received.where)]).toEqual([id])
        }
        expect(inFolder()).toEqual(there)
        for (const name of there) expect(readFileSync(join(folder, name))).toHaveLength(1)
      }),
      { numRuns: 20 },
    )
  })

  test('nor does a folder', async () => {
    for (const [id, path] of ['x', 'x.part/y', 'x.part.lock/z'].entries()) await receive(fileOf(path, { id }))
    expect(inFolder()).toEqual(['x', 'x.part.lock_', 'x.part.lock_/z', 'x.part_', 'x.part_/y'])
  })

  test('a part that somebody else has made is not replaced, even if the file may be', async () => {
    mkdirSync(folder)
    for (const name of ['x.part', 'y.part.journal']) writeFileSync(join(folder, name), 'precious')
    for (const path of ['x', 'y'])
      await expect(receive(fileOf(path), { overwrite: true })).rejects.toMatchObject({ reason: 'in-the-way' })
    for (const name of ['x.part', 'y.part.journal'])
      expect(readFileSync(join(folder, name), 'utf8')).toBe('precious')
  })

  test('a name that is as long as a name may be can be locked anew', async () => {
    mkdirSync(folder)
    const name = 'n'.repeat(240)
    writeFileSync(join(folder, `${name}.part.lock`), `999999999 ${hostname()}\n`)
    await receive(fileOf(name))
    expect(existsSync(join(folder, name))).toBe(true)
    await receive(fileOf(`${'m'.repeat(235)}.part`))
    expect(existsSync(join(folder, `${'m'.repeat(235)}.part_`))).toBe(true)
  })
})

describe('[FT88] failures are told', () => {
  test('a second receiver of one file is refused', async () => {
    const target = await folderStore(folder).open(fileOf('a'), 'share')
    await target.put(0, blockOf(0))
    const file = fileOf('a')
    await expect(folderStore(folder).open(file, 'share')).rejects.toThrow('a is being received already')
    await target.close()
    // The parent process lives, and is not this one.
    const lock = join(folder, 'a.part.lock')
    writeFileSync(lock, `${process.ppid} ${hostname()}\n`)
    await expect(folderStore(folder).open(file, 'share')).rejects.toThrow(
      `a: process ${process.ppid} receives it; if that is wrong, remove the file a.part.lock`,
    )
    writeFileSync(lock, '1234 another-machine\n')
    await expect(folderStore(folder).open(file, 'share')).rejects.toThrow('of the machine another-machine')
    writeFileSync(lock, '')
    await expect(folderStore(folder).open(file, 'share')).rejects.toThrow('begins to receive it')
  })

  test('the lock of a process that has ended does not count', async () => {
    mkdirSync(folder)
    writeFileSync(join(folder, 'a.part.lock'), `999999999 ${hostname()}\n`)
    await receive(fileOf('a'))
    writeFileSync(join(folder, 'b.part.lock'), `${process.pid} ${hostname()}\n`)
    await receive(fileOf('b'))
    expect(inFolder()).toEqual(['a', 'b'])
  })

  test('a file that cannot fit is refused before a byte has come', async () => {
    await expect(folderStore(folder).open(fileOf('a', { size: 2 ** 53 - 1 }), 'share')).rejects.toMatchObject(
      {
        reason: 'full',
        message: expect.stringMatching(
          /^a does not fit: it needs [\d,]+ MB, and the disk has [\d,]+ MB left for it$/,
        ),
      },
    )
    await receive(fileOf('a'))
  })

  test.skipIf(!existsSync('/dev/full'))('a disk that becomes full is told as full', async () => {
    const { storing } = await import('./store-error.js')
    await expect(storing('a', async () => writeFileSync('/dev/full', 'x'))).rejects.toMatchObject({
      name: 'StoreError',
      reason: 'full',
      message: 'a: the disk is full',
    })
  })

  test('a part that was removed meanwhile is told, and no file appears', async () => {
    const target = await folderStore(folder).open(fileOf('a'), 'share')
    await putAll(target)
    rmSync(join(folder, 'a.part'))
    await expect(target.finish()).rejects.toMatchObject({ name: 'StoreError', reason: 'failed' })
    expect(existsSync(join(folder, 'a'))).toBe(false)
    await target.close()
  })
})
