import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { blockOf, content, emptyFile, fileOf, putAll, SIZE } from '../../testing/stored-file.js'
import { BLOCK_BYTES, type OfferedFile } from '../types.js'
import { folderStore } from './folder-store.js'
import { RECORD_BYTES } from './journal.js'

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
    const target = await folderStore(folder).open(emptyFile('empty'), 'share')
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
      await (await folderStore(folder).open(emptyFile(`${id}`, { modifiedAt }), 'share')).finish()
    expect(inFolder()).toHaveLength(3)
  })

  test('a thousand may be open, with no file of the system for each', async () => {
    const store = folderStore(folder)
    const targets = []
    for (let id = 0; id < 1_000; id++) targets.push(await store.open(emptyFile(`f/${id}`, { id }), 'share'))
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
    expect(new Set(await keptNow())).toEqual(new Set([0, 1]))
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
      reason: 'in-the-way',
      message: 'a.part exists already: remove it',
    })
    await expect(receive(fileOf('a'), { overwrite: true })).rejects.toThrow('a.part exists already')
    expect(inFolder()).toEqual(['a.part'])
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
