import { BLOCK_BYTES } from '@peerage/client/transfer'
import type { JournalFile } from './protocol.js'

// The journal of a file in the browser's own storage: a header that says which file it is, then one record for each
// block that is on disk. A record is written after its block was flushed, so a record that is there can be trusted.

const MAGIC = 0x5053_4a31 // "PSJ1"
const PREFIX_BYTES = 8
const HASH_BYTES = 32
/** The block's number and its SHA-256. */
export const RECORD_BYTES = 4 + HASH_BYTES
/** A path is at most some kilobytes. A longer header is not one. */
const HEADER_BYTES_MAX = 64 * 1024

export interface Journal {
  file: JournalFile
  /** The records that can be trusted, one after the other. */
  records: Uint8Array<ArrayBuffer>
  /** Where the next record goes. What follows is a torn record. */
  end: number
}

export function writeHeader({ id, path, size, type, modifiedAt }: JournalFile): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(JSON.stringify({ id, path, size, type, modifiedAt }))
  const header = new Uint8Array(PREFIX_BYTES + text.length)
  const view = new DataView(header.buffer)
  view.setUint32(0, MAGIC)
  view.setUint32(4, text.length)
  header.set(text, PREFIX_BYTES)
  return header
}

export function writeRecord(index: number, hash: Uint8Array): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(RECORD_BYTES)
  new DataView(record.buffer).setUint32(0, index)
  record.set(hash, 4)
  return record
}

/** Undefined: there is no journal, or its header is not whole. `dataBytes` is the size of the file with the blocks. */
export function readJournal(bytes: Uint8Array<ArrayBuffer>, dataBytes: number): Journal | undefined {
  if (bytes.length < PREFIX_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const headerEnd = PREFIX_BYTES + view.getUint32(4)
  if (view.getUint32(0) !== MAGIC || headerEnd > Math.min(bytes.length, HEADER_BYTES_MAX)) return undefined
  const file = readFile(new TextDecoder().decode(bytes.subarray(PREFIX_BYTES, headerEnd)))
  if (file === undefined) return undefined
  let end = headerEnd
  while (
    end + RECORD_BYTES <= bytes.length &&
    isKept(bytes.subarray(end, end + RECORD_BYTES), file, dataBytes)
  )
    end += RECORD_BYTES
  return { file, records: bytes.slice(headerEnd, end), end }
}

/** The numbers and hashes of the blocks. */
export function keptBlocks(records: Uint8Array<ArrayBuffer>): Map<number, Uint8Array<ArrayBuffer>> {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength)
  const kept = new Map<number, Uint8Array<ArrayBuffer>>()
  for (let at = 0; at + RECORD_BYTES <= records.length; at += RECORD_BYTES)
    kept.set(view.getUint32(at), records.slice(at + 4, at + RECORD_BYTES))
  return kept
}

/** How many bytes the blocks of a file have that are kept. */
export function bytesOf(kept: ReadonlyMap<number, unknown>, size: number): number {
  let bytes = 0
  for (const index of kept.keys()) bytes += Math.min(BLOCK_BYTES, size - index * BLOCK_BYTES)
  return bytes
}

export function isSameFile(a: JournalFile, b: JournalFile): boolean {
  return a.id === b.id && a.path === b.path && a.size === b.size && a.modifiedAt === b.modifiedAt
}

/** After a crash of the system, the end of a file can be zeros, and the data can be shorter than the journal says. */
function isKept(record: Uint8Array<ArrayBuffer>, { size }: JournalFile, dataBytes: number): boolean {
  const start = new DataView(record.buffer, record.byteOffset).getUint32(0) * BLOCK_BYTES
  const end = Math.min(start + BLOCK_BYTES, size)
  return start < size && end <= dataBytes && record.subarray(4).some((byte) => byte !== 0)
}

function readFile(text: string): JournalFile | undefined {
  let input: unknown
  try {
    input = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof input !== 'object' || input === null) return undefined
  const fields = new Map<string, unknown>(Object.entries(input))
  const [id, path, size, type, modifiedAt] = ['id', 'path', 'size', 'type', 'modifiedAt'].map((key) =>
    fields.get(key),
  )
  if (typeof id !== 'number' || typeof path !== 'string' || typeof size !== 'number') return undefined
  const time = typeof modifiedAt === 'number' ? { modifiedAt } : {}
  return { id, path, size, type: typeof type === 'string' ? type : '', ...time }
}
