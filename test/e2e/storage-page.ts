import {
  BLOCK_BYTES,
  StoreError,
  type Block,
  type OfferedFile,
  type Store,
  type Target,
} from '@peerage/client/transfer'
import { openStorage, type ZipStore } from '@peerage/share/storage/storage.js'
import { contentOf } from './storage-content.js'

// A page that has nothing but the storage module. test/e2e/storage.test.ts calls its functions.

const storage = await openStorage(new URL('.', location.href).href)
const targets = new Map<string, Target>()
const blobs = new Map<string, Blob>()
const stores = new Map<string, Store>()
let zip: ZipStore | undefined

export interface TestFile {
  id: number
  path: string
  size: number
}

async function sha256(bytes: BufferSource): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
}

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

async function blockOf(index: number, size: number): Promise<Block> {
  const bytes = contentOf(index, Math.min(BLOCK_BYTES, size - index * BLOCK_BYTES))
  return { bytes, hash: await sha256(bytes) }
}

const offered = (file: TestFile): OfferedFile => ({
  ...file,
  type: 'text/plain',
  modifiedAt: 1_700_000_000_000,
})

/** Errors as texts, so that they pass from the page to the test. */
async function told<T>(work: () => Promise<T>): Promise<T | string> {
  try {
    return await work()
  } catch (error) {
    return error instanceof StoreError ? `${error.reason}: ${error.message}` : String(error)
  }
}

function targetOf(path: string): Target {
  const target = targets.get(path)
  if (target === undefined) throw new Error(`${path} is not open`)
  return target
}

const trial = {
  about: { ...storage.capabilities, trouble: storage.trouble },

  async useFolder(name: string): Promise<void> {
    const root = await navigator.storage.getDirectory()
    stores.set('folder', storage.pickedFolder(await root.getDirectoryHandle(name, { create: true })))
  },
  async useFile(name: string): Promise<void> {
    const root = await navigator.storage.getDirectory()
    stores.set('file', storage.pickedFile(await root.getFileHandle(name, { create: true })))
  },
  async useZip(name: string, count: number, kind: 'download' | 'memory'): Promise<void> {
    zip = await storage.zip(name, count, { kind })
    stores.set('zip', zip)
  },
  endZip: () =>
    told(async () => {
      const received = await zip?.end()
      if (received?.kind === 'blob') blobs.set('zip', received.blob)
      return received?.kind
    }),

  /** Opens the place of a file. Returns the numbers of the blocks that were kept. */
  open: (kind: string, file: TestFile, share = 'a share') =>
    told(async () => {
      const store = stores.get(kind) ?? (kind === 'own' ? storage.own : storage.downloads)
      if (store === undefined) throw new Error(`no store ${kind}`)
      const target = await store.open(offered(file), share)
      targets.set(file.path, target)
      return [...target.kept.keys()]
    }),
  /** Puts the blocks `from` up to before `to`. */
  put: ({ path, size }: TestFile, from: number, to: number) =>
    told(async () => {
      for (let index = from; index < to; index++)
        if (!(await targetOf(path).put(index, await blockOf(index, size))))
          return `block ${index} was refused`
      return to
    }),
  putWrong: ({ path, size }: TestFile, index: number) =>
    told(async () =>
      targetOf(path).put(index, { ...(await blockOf(index, size)), hash: new Uint8Array(32) }),
    ),
  finish: ({ path }: TestFile) =>
    told(async () => {
      const received = await targetOf(path).finish()
      if (received.kind === 'saved') return received.where
      blobs.set(path, received.blob)
      return `blob of ${received.blob.size} bytes, ${received.blob.type}`
    }),
  discard: ({ path }: TestFile) => told(() => targetOf(path).discard()),
  close: ({ path }: TestFile) => told(() => targetOf(path).close()),
  receive: async (kind: string, file: TestFile) => {
    await trial.open(kind, file)
    const put = await trial.put(file, 0, Math.ceil(file.size / BLOCK_BYTES))
    return typeof put === 'string' ? put : trial.finish(file)
  },

  hashOfBlob: async (path: string) => hex(await sha256(await (blobs.get(path) ?? new Blob()).arrayBuffer())),
  release: ({ path }: TestFile) => storage.own?.release(blobs.get(path) ?? new Blob()),
  kept: (share = 'a share') => storage.own?.keptFiles(share),
  sweep: (now: number) => storage.own?.sweep(now),
  /** All files of the browser's own storage, with their sizes. */
  files: async () => {
    const found: Record<string, number> = {}
    const walk = async (folder: FileSystemDirectoryHandle, above: string): Promise<void> => {
      for await (const entry of folder.values())
        if (entry.kind === 'directory') await walk(entry, `${above}${entry.name}/`)
        else found[above + entry.name] = (await entry.getFile()).size
    }
    await walk(await navigator.storage.getDirectory(), '')
    return found
  },
  /** The SHA-256 of a file of the browser's own storage. */
  hashOf: async (path: string) =>
    hex(await sha256(await (await (await fileAt(path)).getFile()).arrayBuffer())),
  /** Adds bytes to the end of a file of the browser's own storage. */
  append: async (path: string, bytes: number) => {
    const file = await fileAt(path)
    const writable = await file.createWritable({ keepExistingData: true })
    await writable.write({
      type: 'write',
      position: (await file.getFile()).size,
      data: new Uint8Array(bytes).fill(7),
    })
    await writable.close()
  },
  /** Reads all blocks of a chosen file, and hashes their hashes. */
  readChosen: () =>
    told(async () => {
      const [file] = document.querySelector('input')?.files ?? []
      if (file === undefined) throw new Error('no file')
      const source = storage.source(file, 'chosen')
      const hashes: string[] = []
      for (let index = 0; index * BLOCK_BYTES < source.info.size; index++)
        hashes.push(hex((await source.readBlock(index)).hash))
      return hashes
    }),
}

async function fileAt(path: string): Promise<FileSystemFileHandle> {
  const names = path.split('/')
  let folder = await navigator.storage.getDirectory()
  for (const name of names.slice(0, -1)) folder = await folder.getDirectoryHandle(name)
  return folder.getFileHandle(names.at(-1) ?? '')
}

export type Trial = typeof trial

Object.assign(globalThis, { trial })
document.title = 'ready'
