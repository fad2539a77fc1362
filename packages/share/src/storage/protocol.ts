import type { FileInfo, StoreProblem } from '@peerage/client/transfer'

// What the page asks of the storage worker. Buffers are transferred, so that no block is copied on its way.

/** What the journal says about the file that it belongs to. */
export interface JournalFile extends FileInfo {
  id: number
}

/** A file in the browser's own storage that a reload can go on with. */
export interface KeptFile extends JournalFile {
  /** How many bytes were kept. A file with all its bytes was not saved elsewhere yet. */
  bytesKept: number
}

/** What the worker can be asked, by the name of the task. */
export interface Tasks {
  /** Compares a block with its hash, and adds it to a CRC-32 for zip archives. */
  check: {
    request: { bytes: Uint8Array<ArrayBuffer>; hash: Uint8Array<ArrayBuffer>; crc: number }
    answer: { isRight: boolean; bytes: Uint8Array<ArrayBuffer>; crc: number }
  }
  /** Reads and hashes a block of a file. `size` is what the file had when it was offered. */
  read: {
    request: { file: Blob; index: number; size: number }
    answer: { bytes: Uint8Array<ArrayBuffer>; hash: Uint8Array<ArrayBuffer> }
  }
  /** What was kept of a file of the browser's own storage: `records` are those of the journal. Nothing is made yet. */
  open: {
    request: { folder: string; file: JournalFile }
    answer: { handle: number; records: Uint8Array<ArrayBuffer> }
  }
  /** Makes the file with its whole size, so that the browser says at once whether there is room. */
  reserve: { request: { handle: number }; answer: undefined }
  /** Checks a block and keeps it. False: it does not match its hash. */
  put: {
    request: { handle: number; index: number; bytes: Uint8Array<ArrayBuffer>; hash: Uint8Array<ArrayBuffer> }
    answer: boolean
  }
  close: { request: { handle: number; andRemove: boolean }; answer: undefined }
  list: { request: { folder: string }; answer: readonly KeptFile[] }
  remove: { request: { folder: string; id: number }; answer: undefined }
  /** Removes folders in which nothing was written since `before`, in milliseconds since 1970. */
  sweep: { request: { before: number }; answer: undefined }
}

export type TaskName = keyof Tasks

/** Why a task failed. `source` errors concern the file that is sent, `store` errors the place of a received one. */
export type Failure =
  | { kind: 'source'; reason: 'changed' | 'unreadable'; message: string }
  | { kind: 'store'; reason: StoreProblem; message: string }

/** How a task ended. */
export type Outcome<K extends TaskName> =
  | { ok: true; answer: Tasks[K]['answer'] }
  | { ok: false; failure: Failure }

/** From the page to the worker. */
export type Order = { [K in TaskName]: { id: number; task: K; request: Tasks[K]['request'] } }[TaskName]

/** From the worker to the page. `ready` comes first, once. */
export type Report =
  | { type: 'ready'; hasFiles: boolean }
  | { type: 'done'; id: number; outcome: Outcome<TaskName> }

/** Does each task. The worker has one; so has a page whose worker did not start. */
export type Desk = { [K in TaskName]: (request: Tasks[K]['request']) => Promise<Outcome<K>> }

/** Smaller ones, such as hashes, are copied: the engine still needs the hash of a block that it has put. */
const TRANSFERRED_BYTES_MIN = 1024

/** The buffers that go along with a message, and are gone at its sender. */
export function transferable(value: unknown): ArrayBuffer[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value)
    .filter(isWholeBuffer)
    .map(({ buffer }) => buffer)
}

/** A view of a part of a buffer is copied, because others may use the rest. */
function isWholeBuffer(value: unknown): value is Uint8Array<ArrayBuffer> {
  return (
    value instanceof Uint8Array &&
    value.buffer instanceof ArrayBuffer &&
    value.byteLength >= TRANSFERRED_BYTES_MIN &&
    value.byteLength === value.buffer.byteLength
  )
}
