import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BLOCK_BYTES } from '@peerage/client/transfer'
import {
  bytesOf,
  isSameFile,
  keptBlocks,
  readJournal,
  RECORD_BYTES,
  writeHeader,
  writeRecord,
} from './journal.js'

const FILE = { id: 7, path: 'ordner/ü.txt', size: 10 * BLOCK_BYTES - 5, type: 'text/plain', modifiedAt: 5 }
const hashOf = (index: number): Uint8Array<ArrayBuffer> => new Uint8Array(32).fill(index + 1)

function journalOf(...indexes: number[]): Uint8Array<ArrayBuffer> {
  const parts = [writeHeader(FILE), ...indexes.map((index) => writeRecord(index, hashOf(index)))]
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

test('[FT70] a journal gives back its file and the blocks, in any order', () => {
  const journal = readJournal(journalOf(3, 0, 9), FILE.size)
  expect(journal?.file).toEqual(FILE)
  const kept = keptBlocks(journal?.records ?? new Uint8Array())
  expect([...kept]).toEqual([3, 0, 9].map((index) => [index, hashOf(index)]))
  expect(bytesOf(kept, FILE.size)).toBe(3 * BLOCK_BYTES - 5)
})

test('[FT70] a journal that is cut at any byte has the records that are whole', () => {
  const whole = journalOf(0, 1, 2, 3)
  const header = writeHeader(FILE).length
  fc.assert(
    fc.property(fc.nat(whole.length), (length) => {
      const journal = readJournal(whole.slice(0, length), FILE.size)
      if (length < header) expect(journal).toBeUndefined()
      else {
        const records = Math.floor((length - header) / RECORD_BYTES)
        expect(keptBlocks(journal?.records ?? new Uint8Array()).size).toBe(records)
        expect(journal?.end).toBe(header + records * RECORD_BYTES)
      }
    }),
  )
})

test('[FT70] zeros after a crash, a block beyond the end and a block that the data does not have end the journal', () => {
  const kept = (journal: Uint8Array<ArrayBuffer>, dataBytes = FILE.size): number[] => [
    ...keptBlocks(readJournal(journal, dataBytes)?.records ?? new Uint8Array()).keys(),
  ]
  expect(kept(Uint8Array.from([...journalOf(4), ...new Uint8Array(RECORD_BYTES)]))).toEqual([4])
  expect(kept(journalOf(1, 10, 2))).toEqual([1])
  expect(kept(journalOf(0, 1, 2), 2 * BLOCK_BYTES)).toEqual([0, 1])
})

test('[FT70] bytes that are not a journal are none', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(readJournal(Uint8Array.from(bytes), 0)).toBeUndefined()
    }),
  )
})

test('[FT70] a file with another id, path, size or time is another one', () => {
  expect(isSameFile(FILE, { ...FILE, type: 'other' })).toBe(true)
  for (const change of [{ id: 1 }, { path: 'x' }, { size: 1 }, { modifiedAt: 6 }, { modifiedAt: undefined }])
    expect(isSameFile(FILE, { ...FILE, ...change })).toBe(false)
})
