// Offered files as a tree of folders, so that a folder with thousands of files is one line until it is opened.

/** What the tree needs to know about a file. */
export interface Leaf {
  key: string
  path: string
  size: number
}

export interface Folder<T extends Leaf> {
  kind: 'folder'
  name: string
  /** The path of the folder, which identifies it. */
  path: string
  children: readonly Entry<T>[]
  /** All files below it, in order. */
  files: readonly T[]
  bytes: number
}

export type Entry<T extends Leaf> = Folder<T> | { kind: 'file'; name: string; file: T }

/** A visible line of the tree. */
export interface Line<T extends Leaf> {
  depth: number
  entry: Entry<T>
}

interface Growing<T extends Leaf> {
  name: string
  path: string
  folders: Map<string, Growing<T>>
  order: ({ folder: Growing<T> } | { file: T; name: string })[]
  files: T[]
}

const growing = <T extends Leaf>(name: string, path: string): Growing<T> => ({
  name,
  path,
  folders: new Map(),
  order: [],
  files: [],
})

/** Paths deeper than this stay in the folder of this depth: a stranger chooses them, and lines have only so much room. */
const DEPTH_MAX = 12

/** Builds the tree. Folders and files stay in the order in which they came. */
export function treeOf<T extends Leaf>(files: readonly T[]): readonly Entry<T>[] {
  const root = growing<T>('', '')
  for (const file of files) {
    const parts = file.path.split('/')
    const folders = parts.slice(0, -1).slice(0, DEPTH_MAX)
    let at = root
    for (const name of folders) {
      let next = at.folders.get(name)
      if (next === undefined) {
        next = growing<T>(name, `${at.path}${name}/`)
        at.folders.set(name, next)
        at.order.push({ folder: next })
      }
      next.files.push(file)
      at = next
    }
    at.order.push({ file, name: parts.slice(folders.length).join('/') })
  }
  return finished(root)
}

function finished<T extends Leaf>(from: Growing<T>): readonly Entry<T>[] {
  return from.order.map((one): Entry<T> =>
    'file' in one
      ? { kind: 'file', name: one.name, file: one.file }
      : {
          kind: 'folder',
          name: one.folder.name,
          path: one.folder.path,
          children: finished(one.folder),
          files: one.folder.files,
          bytes: one.folder.files.reduce((sum, { size }) => sum + size, 0),
        },
  )
}

/** The first `max` visible lines, and how many files have no line: they are cut off, and not merely in a closed folder. */
export function visibleLines<T extends Leaf>(
  entries: readonly Entry<T>[],
  isOpen: (folder: Folder<T>) => boolean,
  max: number,
): { lines: readonly Line<T>[]; filesLeft: number } {
  const lines: Line<T>[] = []
  let filesLeft = 0
  const add = (some: readonly Entry<T>[], depth: number): void => {
    for (const entry of some) {
      if (lines.length >= max) {
        filesLeft += entry.kind === 'file' ? 1 : entry.files.length
        continue
      }
      lines.push({ depth, entry })
      if (entry.kind === 'folder' && isOpen(entry)) add(entry.children, depth + 1)
    }
  }
  add(entries, 0)
  return { lines, filesLeft }
}
