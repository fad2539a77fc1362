import { numbered, safePath, StoreError, type Segments, type Store } from '@peerage/client/transfer'
import { ifFound, nameOf } from './browser-files.js'
import { storeError } from './failure.js'
import { writableTarget, type Place } from './picker-store.js'
import type { StorageDesk } from './storage-desk.js'

/** A person who has a thousand files of one name has another problem. */
const NUMBER_MAX = 1000

/**
 * A folder that a person has chosen with `showDirectoryPicker`. Folders of a path are made in it. A file never replaces
 * another one: the second `a.txt` becomes `a (2).txt`.
 */
export function folderStore(desk: StorageDesk, root: FileSystemDirectoryHandle): Store {
  // One after the other, so that two files that come at the same time do not find the same name free.
  let turn: Promise<unknown> = Promise.resolve()
  const makeInTurn = (segments: Segments): Promise<Place> => {
    const made = turn.then(() => makeFile(root, segments))
    turn = made.catch(() => undefined)
    return made
  }
  return {
    isDurable: false,
    bytesMax: Infinity,
    open: (file) => {
      const path = safePath(file.path)
      if (path.ok) return Promise.resolve(writableTarget(desk, file, () => makeInTurn(path.segments)))
      return Promise.reject(new StoreError('bad-name', `The path of this file ${path.why}.`))
    },
  }
}

/** Makes an empty file with a name that is free. */
async function makeFile(root: FileSystemDirectoryHandle, segments: Segments): Promise<Place> {
  try {
    const folder = await makeFolders(root, segments.slice(0, -1))
    for (let number = 1; number <= NUMBER_MAX; number++) {
      const name = numbered(segments, number).at(-1) ?? ''
      if (await isTaken(folder, name)) continue
      const handle = await folder.getFileHandle(name, { create: true })
      const where = [root.name, ...segments.slice(0, -1), name].filter((part) => part !== '').join('/')
      const remove = async (): Promise<void> => ifFound(folder.removeEntry(name))
      return { handle, where, remove }
    }
  } catch (error) {
    throw wrongNameOr(error)
  }
  throw new StoreError('exists', `The folder has ${NUMBER_MAX} files of this name.`)
}

async function makeFolders(
  root: FileSystemDirectoryHandle,
  names: readonly string[],
): Promise<FileSystemDirectoryHandle> {
  let folder = root
  for (const name of names) folder = await folder.getDirectoryHandle(name, { create: true })
  return folder
}

/** A folder of this name counts too. */
async function isTaken(folder: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  try {
    return (await ifFound(folder.getFileHandle(name))) !== undefined
  } catch (error) {
    if (nameOf(error) === 'TypeMismatchError') return true
    throw error
  }
}

/** Browsers refuse names that we do not know of, and folders whose name a file has. */
function wrongNameOr(error: unknown): StoreError {
  switch (nameOf(error)) {
    case 'TypeError':
      return new StoreError('bad-name', 'The browser does not allow a file of this name.', { cause: error })
    case 'TypeMismatchError':
      return new StoreError('exists', 'A file has the name of a folder that is needed.', { cause: error })
    default:
      return storeError(error)
  }
}
