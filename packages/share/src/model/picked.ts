// Files that a person dropped, pasted or picked.

/** A file with its path below the folder that was picked. */
export interface Picked {
  file: File
  path: string
}

/** The most files of one share. */
export const FILES_MAX = 10_000

export function pickedFrom(files: Iterable<File>): Picked[] {
  const picked = Array.from(files, (file) => ({
    file,
    // An empty text if the file was not picked with a folder. Some browsers lack it.
    path: file.webkitRelativePath === '' ? file.name : (file.webkitRelativePath ?? file.name),
  }))
  return picked.some(({ path }) => path.includes('/')) ? byName(picked) : picked
}

/** Browsers list a folder in any order. */
function byName(picked: Picked[]): Picked[] {
  const { compare } = new Intl.Collator(undefined, { numeric: true })
  return picked.sort((a, b) => compare(a.path, b.path))
}

/**
 * The files of a drop, with those in folders. Call it in the event itself: later, the browser has taken the files away.
 * Rejects if a folder cannot be read.
 */
export function pickedFromDrop(transfer: DataTransfer): Promise<Picked[]> {
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry?.() ?? undefined)
  const isFolder = entries.some((entry) => entry?.isDirectory === true)
  // Without folders, no entry has to be read.
  if (!isFolder) return Promise.resolve(pickedFrom(transfer.files))
  return readAll(entries.filter((entry) => entry !== undefined))
}

async function readAll(entries: readonly FileSystemEntry[]): Promise<Picked[]> {
  const picked: Picked[] = []
  for (const entry of entries) await readEntry(entry, picked)
  return byName(picked)
}

async function readEntry(entry: FileSystemEntry, into: Picked[]): Promise<void> {
  // One more than allowed is enough to see that there are too many.
  if (into.length > FILES_MAX) return
  if (isFileEntry(entry)) {
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject))
    into.push({ file, path: entry.fullPath.replace(/^\//, '') })
  } else if (isFolderEntry(entry)) {
    const reader = entry.createReader()
    for (;;) {
      // A reader returns some entries at a time, and none at the end.
      const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
        reader.readEntries(resolve, reject),
      )
      if (some.length === 0) return
      for (const one of some) await readEntry(one, into)
    }
  }
}

const isFileEntry = (entry: FileSystemEntry): entry is FileSystemFileEntry => entry.isFile
const isFolderEntry = (entry: FileSystemEntry): entry is FileSystemDirectoryEntry => entry.isDirectory
