import type { Source, Store } from '@peerage/client/transfer'
import { capabilitiesOf, type Capabilities } from './capabilities.js'
import { registerDownloads } from './downloads-line.js'
import { folderStore } from './folder-store.js'
import { opfsStore, type OpfsStore } from './opfs-store.js'
import { pickerStore } from './picker-store.js'
import { downloadStore } from './sinks.js'
import { openDesk, startWorker } from './storage-desk.js'
import { workerSource } from './worker-source.js'
import type { ZipStore } from './zip-store.js'

export {
  chooseStore,
  MEMORY_BYTES_MAX,
  storeChoices,
  type StoreChoice,
  type StoreKind,
} from './choose-store.js'
export { pickFile, pickFolder } from './pickers.js'
export type { Capabilities } from './capabilities.js'
export type { KeptFile } from './protocol.js'
export type { OpfsStore, WholeFile } from './opfs-store.js'
export type { ZipStore } from './zip-store.js'

/** Where a zip archive goes. */
export type ZipPlace =
  | { kind: 'download' }
  | { kind: 'picked'; file: FileSystemFileHandle }
  | { kind: 'memory' }

/** The storage of a page: where its files are read and hashed, and where received ones can go. */
export interface PageStorage {
  readonly capabilities: Capabilities
  /** Why there is no worker, in one line for people. */
  readonly trouble: string | undefined
  /** The browser's own storage. Undefined if it cannot be used here. */
  readonly own: OpfsStore | undefined
  /** Each file as a download. Undefined if there is no service worker here. */
  readonly downloads: Store | undefined
  source(file: File, path: string): Source
  pickedFile(file: FileSystemFileHandle): Store
  pickedFolder(folder: FileSystemDirectoryHandle): Store
  /** `count`: how many files will go into the archive. The code for archives is loaded here. */
  zip(name: string, count: number, place: ZipPlace): Promise<ZipStore>
  /** Ends the worker. */
  close(): void
}

/**
 * Starts the worker and the service worker, and finds out what this browser can do. `base` is the address of the page.
 *
 * @example
 * const storage = await openStorage(new URL('.', location.href).href)
 * const choice = chooseStore(files, storage.capabilities)
 */
export async function openStorage(base: string): Promise<PageStorage> {
  const [desk, downloads] = await Promise.all([openDesk(startWorker), registerDownloads(base)])
  const capabilities = await capabilitiesOf(globalThis, desk, downloads)
  const { ownStorageBytes } = capabilities
  return {
    capabilities,
    trouble: desk.trouble,
    own: ownStorageBytes === undefined ? undefined : opfsStore(desk, navigator.storage, ownStorageBytes),
    downloads: downloads && downloadStore(desk, downloads),
    source: (file, path) => workerSource(desk, file, path),
    pickedFile: (file) => pickerStore(desk, file),
    pickedFolder: (folder) => folderStore(desk, folder),
    zip: async (name, count, place) => {
      const { zipTo } = await import('./zip-place.js')
      return zipTo(desk, downloads, name, count, place)
    },
    close: () => desk.close(),
  }
}
