import type { OfferedFile } from '../types.js'

// The journal beside a file that is being received: which blocks of it are on disk. A header, then one record a block.

/** The number of the block, and its SHA-256. */
export const RECORD_BYTES = 36
const HASH_BYTES = 32
/** Marks a journal of this version. */
const MAGIC = 'peerage part 1 '

export type Hashes = Map<number, Uint8Array<ArrayBuffer>>

/** One line that says which file of which share the journal is for. Only a header with equal bytes is for the same file. */
export function encodeHeader(file: OfferedFile, share: string): Buffer {
  const { id, path, size, modifiedAt } = file
  return Buffer.from(`${MAGIC}${JSON.stringify({ share, id, path, size, modifiedAt })}\n`)
}

/** Whether a journal that begins so is for this file, in whichever share. */
export function isForFile(start: Buffer, file: OfferedFile): boolean {
  const [line = ''] = start.toString().split('\n', 1)
  const [, fields = ''] = /^.*?(,"id":.*)$/.exec(encodeHeader(file, '').toString().trimEnd()) ?? []
  return isJournal(start) && line.endsWith(fields)
}

/** Whether this is a journal of ours, or one that was cut short. */
export const isJournal = (content: Buffer): boolean =>
  MAGIC.startsWith(content.subarray(0, MAGIC.length).toString('latin1'))

export function encodeRecord(index: number, hash: Uint8Array): Buffer {
  const record = Buffer.alloc(RECORD_BYTES)
  record.writeUInt32BE(index)
  record.set(hash, RECORD_BYTES - HASH_BYTES)
  return record
}

export type Journal =
  | { kind: 'same'; records: Hashes; bytes: number }
  /** Not the journal of this file. */
  | { kind: 'other' }

/**
 * Reads a journal. Of two records of one block the last counts. A last record that is cut short does not count.
 * `bytes`: the length up to the end of the last whole record.
 */
export function readJournal(content: Buffer, header: Buffer, blockCount: number): Journal {
  if (!content.subarray(0, header.length).equals(header)) return { kind: 'other' }
  const records: Hashes = new Map()
  let end = header.length
  for (; end + RECORD_BYTES <= content.length; end += RECORD_BYTES) {
    const index = content.readUInt32BE(end)
    const hash = new Uint8Array(content.subarray(end + RECORD_BYTES - HASH_BYTES, end + RECORD_BYTES))
    if (index < blockCount) records.set(index, hash)
  }
  return { kind: 'same', records, bytes: end }
}
