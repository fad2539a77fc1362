import { nameOf } from './browser-files.js'

// The dialogs in which a person chooses a place. A browser opens them in a click only, and before the first await.

interface Pickers {
  showSaveFilePicker?(options: { suggestedName: string }): Promise<FileSystemFileHandle>
  showDirectoryPicker?(options: { id: string; mode: 'readwrite' }): Promise<FileSystemDirectoryHandle>
}

/** Undefined: the person has closed the dialog, or this browser has none. */
export function pickFile(
  name: string,
  scope: Pickers = globalThis as Pickers,
): Promise<FileSystemFileHandle | undefined> {
  return unlessClosed(scope.showSaveFilePicker?.({ suggestedName: name }))
}

/** Undefined: the person has closed the dialog, or this browser has none. */
export function pickFolder(
  scope: Pickers = globalThis as Pickers,
): Promise<FileSystemDirectoryHandle | undefined> {
  return unlessClosed(scope.showDirectoryPicker?.({ id: 'received', mode: 'readwrite' }))
}

async function unlessClosed<T>(picked: Promise<T> | undefined): Promise<T | undefined> {
  try {
    return await picked
  } catch (error) {
    if (nameOf(error) === 'AbortError') return undefined
    throw error
  }
}
