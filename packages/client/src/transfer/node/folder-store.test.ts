import { createHash, randomBytes } from 'node:crypto'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BLOCK_BYTES, type Block, type OfferedFile, type Target } from '../types.js'
import { folderStore } from './folder-store.js'
import { RECORD_BYTES } from './journal.js'

let outside: string
let folder: string
beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'store-'))
  folder = join(outside, 'folder')
})
afterEach(() => rmSync(outside, { recursive: true, force: true }))

const SIZE = 3 * BLOCK_BYTES + 7
const content = randomBytes(SIZE)
const fileOf = (path: string, more: Partial<OfferedFile> = {}): OfferedFile => ({
  id: 1,
  path,
  size: SIZE,
  type: '',
  ...more,
})
const hashOf = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest())

function blockOf(index: number): Block {
  const bytes = new Uint8Array(content.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES))
  return { bytes, hash: hashOf(bytes) }
}

async function putAll(target: Target): Promise<void> {
  for (const index of [3, 1, 0, 2])
    if (!target.kept.has(index)) expect(await target.put(index, blockOf(index))).toBe(true)
}

const receive = async (file: OfferedFile, options = {}) => {
  const target = await folderStore(folder, options).open(file, 'share')
  await putAll(target)
  return target.finish()
}
const inFolder = (): string[] => readdirSync(folder, { recursive: true }).map(String).sort()
const small = (path: string, more: Partial<OfferedFile> = {}) => fileOf(path, { size: 0, ...more })

describe('[FT84] a file counts when it is whole', () => {
  test('it has another name until then, and gets its time', async () => {
    const target = await folderStore(folder).open(
      fileOf('a/b.bin', { modifiedAt: 1_700_000_000_000 }),
      'share',
    )
    expect(target).toMatchObject({ inOrder: false, kept: new Map() })
    await target.put(0, blockOf(0))
    expect(inFolder()).toEqual(['a', 'a/b.bin.part', 'a/b.bin.part.journal', 'a/b.bin.part.lock'])
    await putAll(target)
    const place = join(folder, 'a/b.bin')
    expect(await target.finish()).toEqual({ kind: 'saved', where: place })
    expect(inFolder()).toEqual(['a', 'a/b.bin'])
    expect(readFileSync(place).equals(content)).toBe(true)
    expect(statSync(place).mtimeMs).toBe(1_700_000_000_000)
  })

  test('an empty file has no blocks', async () => {
    const target = await folderStore(folder).open(small('empty'), 'share')
    await target.finish()
    expect(statSync(join(folder, 'empty')).size).toBe(0)
    expect(inFolder()).toEqual(['empty'])
  })

  test('a block whose bytes are not those of its hash, or not as many as they should be, is not kept', async () => {
    const target = await folderStore(folder).open(fileOf('a'), 'share')
    expect(await target.put(0, { bytes: blockOf(1).bytes, hash: blockOf(0).hash })).toBe(false)
    expect(await target.put(3, blockOf(0))).toBe(false)
    expect(await target.put(4, blockOf(0))).toBe(false)
    await target.close()
    expect(inFolder()).toEqual([])
  })

  test('what is discarded leaves nothing', async () => {
    const target = await folderStore(folder).open(fileOf('a'), 'share')
    await target.put(0, blockOf(0))
    await target.discard()
    expect(inFolder()).toEqual([])
  })

  test('a time that no disk can keep is left out', async () => {
    for (const [id, modifiedAt] of [Number.NaN, -1, 1e300].entries())
      await (await folderStore(folder).open(small(`${id}`, { modifiedAt }), 'share')).finish()
    expect(inFolder()).toHaveLength(3)
  })

  test('thousands may be open, with no file of the system for each', async () => {
    const store = folderStore(folder)
    const targets = []
    for (let id = 0; id < 3_000; id++) targets.push(await store.open(small(`f/${id}`, { id }), 'share'))
    expect(inFolder()).toEqual([])
    for (const target of targets) await target.close()
  })
})

describe('[FT85] what was received before is kept', () => {
  async function begin(...indexes: number[]): Promise<void> {
    const target = await folderStore(folder).open(fileOf('a'), 'share')
    for (const index of indexes) await target.put(index, blockOf(index))
    await target.close()
  }
  async function keptNow(file = fileOf('a')): Promise<number[]> {
    const target = await folderStore(folder).open(file, 'share')
    const kept = [...target.kept.keys()]
    for (const [index, hash] of target.kept) expect(hash).toEqual(blockOf(index).hash)
    await target.close()
    return kept
  }

  test('by another run of the program', async () => {
    await begin(2, 0)
    expect(inFolder()).toEqual(['a.part', 'a.part.journal'])
    expect(await keptNow()).toEqual([2, 0])
    await receive(fileOf('a'))
    expect(readFileSync(join(folder, 'a')).equals(content)).toBe(true)
    expect(inFolder()).toEqual(['a'])
  })

  test('a record that is cut short does not count, and does not harm those that follow', async () => {
    await begin(2, 0, 1)
    const journal = join(folder, 'a.part.journal')
    truncateSync(journal, statSync(journal).size - 1)
    expect(await keptNow()).toEqual([2, 0])
    await begin(3)
    expect(await keptNow()).toEqual([2, 0, 3])
  })

  test('a block counts only if the disk still has its bytes', async () => {
    await begin(0, 1, 2, 3)
    const part = join(folder, 'a.part')
    truncateSync(part, 2 * BLOCK_BYTES + 5)
    expect(await keptNow()).toEqual([0, 1])
    const bytes = readFileSync(part)
    bytes[3] = (bytes[3] ?? 0) ^ 1
    writeFileSync(part, bytes)
    expect(await keptNow()).toEqual([1])
    await begin(0)
    expect((await keptNow()).sort()).toEqual([0, 1])
  })

  test('records of blocks that the file does not have, and of zeros, do not count', async () => {
    await begin(1)
    const far = Buffer.alloc(2 * RECORD_BYTES)
    far.writeUInt32BE(4_000_000_000)
    appendFileSync(join(folder, 'a.part.journal'), far)
    expect(await keptNow()).toEqual([1])
  })

  test('without the part, the journal does not count', async () => {
    await begin(0, 1)
    rmSync(join(folder, 'a.part'))
    await receive(fileOf('a'))
    expect(inFolder()).toEqual(['a'])
  })

  test('without the journal, the part is in the way', async () => {
    await begin(0)
    rmSync(join(folder, 'a.part.journal'))
    await expect(keptNow()).rejects.toMatchObject({
      reason: 'exists',
      message: 'a.part exists already: remove it',
    })
    await receive(fileOf('a'), { overwrite: true })
    expect(inFolder()).toEqual(['a'])
  })

  test.each<[string, Partial<OfferedFile>]>([
    ['size', { size: SIZE + 1 }],
    ['time', { modifiedAt: 5 }],
    ['number', { id: 9 }],
  ])('a file of another %s does not take it', async (_, other) => {
    await begin(0)
    await expect(keptNow(fileOf('a', other))).rejects.toMatchObject({
      reason: 'exists',
      message: 'a.part is left of another transfer: remove it and a.part.journal',
    })
    expect(await keptNow()).toEqual([0])
    const target = await folderStore(folder, { overwrite: true }).open(fileOf('a', other), 'share')
    expect(target.kept.size).toBe(0)
    await target.close()
  })

  test('whatever was put, cut and put again: the file is whole in the end', async () => {
    const step = fc.oneof(
      fc.integer({ min: 0, max: 3 }).map((index) => ({ do: 'put' as const, index })),
      fc.constant({ do: 'reopen' as const, index: 0 }),
      fc.integer({ min: 1, max: 80 }).map((index) => ({ do: 'cut the journal' as const, index })),
      fc.integer({ min: 0, max: SIZE }).map((index) => ({ do: 'cut the part' as const, index })),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
        rmSync(folder, { recursive: true, force: true })
        const open = () => folderStore(folder).open(fileOf('a'), 'share')
        const cut = (path: string, size: number): void => {
          if (existsSync(path) && size >= 0 && size < statSync(path).size) truncateSync(path, size)
        }
        let target = await open()
        for (const { do: what, index } of steps) {
          if (what === 'put') {
            await target.put(index, blockOf(index))
            continue
          }
          await target.close()
          const journal = join(folder, 'a.part.journal')
          if (what === 'cut the part') cut(join(folder, 'a.part'), index)
          if (what === 'cut the journal' && existsSync(journal)) cut(journal, statSync(journal).size - index)
          // A header that is cut is one that the program did not finish: the person removes both.
          target = await open().catch((error: Error) => {
            expect(error.message).toMatch(/remove it and a.part.journal/)
            rmSync(folder, { recursive: true })
            return open()
          })
        }
        await putAll(target)
        await target.finish()
        expect(readFileSync(join(folder, 'a')).equals(content)).toBe(true)
        expect(inFolder()).toEqual(['a'])
      }),
      { numRuns: 40 },
    )
  })
})

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
    await expect(target.put(0, blockOf(0))).rejects.toMatchObject({ reason: 'exists' })
    await target.close()
    const begun = await folderStore(folder).open(fileOf('deep/evil'), 'share')
    await putAll(begun)
    rmSync(join(folder, 'deep'), { recursive: true })
    symlinkSync('../elsewhere', join(folder, 'deep'))
    await expect(begun.finish()).rejects.toMatchObject({ reason: 'exists' })
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
      if (name === 'x' || name === 'x.part') await receive(fileOf('x'), { overwrite: true })
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
    await expect(receive(fileOf('a'), { overwrite: true })).rejects.toMatchObject({ reason: 'exists' })
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
        message: expect.stringMatching(/^a does not fit: the disk has [\d,]+ MB left$/),
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
