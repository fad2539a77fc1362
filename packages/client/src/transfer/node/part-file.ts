import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { BLOCK_BYTES, type Block, type OfferedFile } from '../types.js'
import { encodeRecord, type Hashes } from './journal.js'

// A file that is being received: `NAME.part`, and `NAME.part.journal` for what of it is on disk.

/** How many blocks may be written and not yet be on disk, so that memory of the system does not fill with them. */
const UNSYNCED_MAX = 32
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0

export interface PartFile {
  write(index: number, block: Block): Promise<void>
  /** Resolves when every block that was written is on disk and in the journal. */
  flush(): Promise<void>
  setModified(at: number): Promise<void>
  close(): Promise<void>
}

/** Where the two files are. `journalBytes`: how much of the journal is valid. Undefined: both files are new. */
export interface PartPlace {
  part: string
  journal: string
  header: Buffer
  journalBytes: number | undefined
}

/** Opens both files. A new pair must not exist. */
export async function openPart({ part, journal, header, journalBytes }: PartPlace): Promise<PartFile> {
  const isNew = journalBytes === undefined
  const fresh = isNew ? constants.O_CREAT | constants.O_EXCL : 0
  const records = await open(journal, constants.O_WRONLY | fresh | NO_FOLLOW)
  try {
    if (isNew) await records.write(header, 0, header.length, 0)
    else await records.truncate(journalBytes)
    const data = await open(part, constants.O_RDWR | fresh | NO_FOLLOW)
    return partFile(data, records, isNew ? header.length : journalBytes)
  } catch (error) {
    await records.close()
    throw error
  }
}

function partFile(data: FileHandle, records: FileHandle, begin: number): PartFile {
  let end = begin
  let unsynced: Buffer[] = []
  let isSyncing = false
  let synced = Promise.resolve()
  let failure: { error: unknown } | undefined

  /** Blocks that come while it runs are taken together by the next turn. So a slow disk gets fewer and larger turns. */
  async function sync(): Promise<void> {
    isSyncing = true
    try {
      while (unsynced.length > 0) {
        const batch = Buffer.concat(unsynced)
        unsynced = []
        await data.datasync()
        // Only now: a record in the journal says that its block is on disk.
        await writeAll(records, batch, end)
        end += batch.length
      }
    } catch (error) {
      failure ??= { error }
    } finally {
      isSyncing = false
    }
  }
  const throwFailure = (): void => {
    if (failure !== undefined) throw failure.error
  }
  return {
    async write(index, block) {
      throwFailure()
      await writeAll(data, block.bytes, index * BLOCK_BYTES)
      unsynced.push(encodeRecord(index, block.hash))
      if (!isSyncing) synced = sync()
      if (unsynced.length >= UNSYNCED_MAX) await synced
      throwFailure()
    },
    async flush() {
      await synced
      throwFailure()
      await data.sync()
    },
    setModified: (at) => data.utimes(new Date(at), new Date(at)),
    async close() {
      await synced
      await Promise.all([data.close(), records.close()])
    },
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0
  while (done < bytes.length)
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
}

/** The records whose blocks are what they say. A power cut or another program may have changed the file. */
export async function checkKept(part: string, file: OfferedFile, records: Hashes): Promise<Hashes> {
  const kept: Hashes = new Map()
  const data = await open(part, constants.O_RDONLY | NO_FOLLOW)
  try {
    const buffer = Buffer.allocUnsafe(BLOCK_BYTES)
    for (const [index, hash] of records) {
      const length = Math.min(BLOCK_BYTES, file.size - index * BLOCK_BYTES)
      const { bytesRead } = await data.read(buffer, 0, length, index * BLOCK_BYTES)
      if (bytesRead === length && isHash(buffer.subarray(0, length), hash)) kept.set(index, hash)
    }
  } finally {
    await data.close()
  }
  return kept
}

export const isHash = (bytes: Uint8Array, hash: Uint8Array): boolean =>
  createHash('sha256').update(bytes).digest().equals(hash)
