import { memoryStore, StoreError } from '@peerage/client/transfer'
import type { Store } from '@peerage/client/transfer'
import { PartMissing } from './model/world.js'
import type { OpenedStore, Saving, Wanted } from './model/world.js'
import type { OpenedStorage } from './late-storage.js'
import type { PageStorage, StoreChoice, ZipPlace } from './storage/storage.js'
import { MEMORY_BYTES_MAX, openStorage, pickFile, pickFolder, storeChoices } from './storage/storage.js'

/** What the page keeps in memory at most. All files that come at the same time share it. */
let memory: Store | undefined

function receivedInMemory(): Store {
  memory ??= memoryStore(MEMORY_BYTES_MAX)
  return memory
}

/** Starts the storage. `base`: the address of the page. This module is loaded when it is needed. */
export async function openSaving(base: string): Promise<OpenedStorage> {
  const storage = await openStorage(base)
  // What nobody came back for is removed. It takes a moment, and nothing waits for it.
  storage.own?.sweep(Date.now()).catch((error: unknown) => console.warn(error))
  return { storage, saving: savingWith(storage) }
}

/** The ways to save files that this browser has. */
function savingWith(storage: PageStorage): Saving {
  return {
    choices: (files) => storeChoices(files, storage.capabilities),
    open: (choice, files) => openStore(storage, choice, files),
    durable: storage.own,
    wholeFiles: async (share) => (await storage.own?.wholeFiles(share)) ?? [],
    release: (content) => {
      storage.own?.release(content).catch((error: unknown) => console.warn(error))
    },
  }
}

async function openStore(
  storage: PageStorage,
  { kind }: StoreChoice,
  files: readonly Wanted[],
): Promise<OpenedStore | undefined> {
  switch (kind) {
    case 'own-storage':
      return { store: storage.own ?? receivedInMemory() }
    case 'downloads':
      return { store: storage.downloads ?? receivedInMemory() }
    case 'memory':
      return { store: receivedInMemory() }
    case 'picked-file': {
      const file = await pickFile(lastName(files[0]?.path ?? ''))
      return file && { store: storage.pickedFile(file) }
    }
    case 'picked-folder': {
      const folder = await pickFolder()
      return folder && { store: storage.pickedFolder(folder) }
    }
    case 'picked-zip': {
      const file = await pickFile(archiveName(files))
      return file && zip(storage, files, { kind: 'picked', file })
    }
    case 'zip-download':
      return zip(storage, files, { kind: 'download' })
    case 'memory-zip':
      return zip(storage, files, { kind: 'memory' })
  }
}

async function zip(storage: PageStorage, files: readonly Wanted[], place: ZipPlace): Promise<OpenedStore> {
  const store = await storage.zip(archiveName(files), files.length, place).catch((cause: unknown) => {
    if (cause instanceof StoreError) throw cause
    throw new PartMissing('the module for archives could not be loaded', { cause })
  })
  return { store, endArchive: () => store.end() }
}

/** The name of the folder, if all files come from one; else a plain one. */
function archiveName(files: readonly Wanted[]): string {
  const tops = new Set(files.map(({ path }) => path.split('/')[0] ?? ''))
  const [top] = tops
  const isFolder = tops.size === 1 && files.every(({ path }) => path.includes('/'))
  return `${isFolder && top !== undefined && top !== '' ? top : 'files'}.zip`
}

const lastName = (path: string): string => path.slice(path.lastIndexOf('/') + 1)
