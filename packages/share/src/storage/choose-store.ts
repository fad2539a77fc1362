import type { FileInfo } from '@peerage/client/transfer'
import type { Capabilities } from './capabilities.js'

/** How files can be stored, and what the person must know before the first byte. */
export interface StoreChoice {
  kind: StoreKind
  /**
   * What a transfer survives. `reload`: a reload of the page, and a crash. `connection`: lost connections, but not a
   * reload.
   */
  survives: 'reload' | 'connection'
  /** How many bytes all files together may have. `Infinity`: no limit is known. */
  bytesMax: number
  /** Whether the files fit. */
  fits: boolean
  /** True: the person chooses the place by a dialog of the browser, which must open in the click itself. */
  picks: boolean
}

export type StoreKind =
  /** The browser's own storage, then a link for each file. */
  | 'own-storage'
  /** One file, at a place that the person chooses. */
  | 'picked-file'
  /** All files, with their folders, in a folder that the person chooses. */
  | 'picked-folder'
  /** Each file as a download, written while it arrives. */
  | 'downloads'
  /** All files as one zip archive, which is downloaded while it arrives. */
  | 'zip-download'
  /** All files as one zip archive at a place that the person chooses. */
  | 'picked-zip'
  /** In the memory of the page, then a link for each file. */
  | 'memory'
  /** In the memory of the page, then a link for one zip archive. */
  | 'memory-zip'

/**
 * What a page may keep in memory, in bytes. For a moment there are two copies, when the blocks become one Blob, and a
 * phone ends a page that takes more than about 1 GB.
 */
export const MEMORY_BYTES_MAX = 256_000_000
/** Nobody wants to click on more links than this. More files go into a folder or an archive. */
const LINKS_MAX = 10

type FileSize = Pick<FileInfo, 'path' | 'size'>

/** The best place for these files here. If none fits, it is the largest one. */
export function chooseStore(files: readonly FileSize[], capabilities: Capabilities): StoreChoice {
  const choices = storeChoices(files, capabilities)
  const [first, ...others] = choices
  return choices.find(({ fits }) => fits) ?? others.reduce((a, b) => (b.bytesMax > a.bytesMax ? b : a), first)
}

/**
 * All places that are possible, the best one first. A few files go to the browser's own storage while they fit, because a
 * transfer then survives a reload. A tree of folders goes to a folder, or into an archive;
 * a small one also to the own storage, without its folders.
 */
export function storeChoices(
  files: readonly FileSize[],
  capabilities: Capabilities,
): [StoreChoice, ...StoreChoice[]] {
  const bytes = files.reduce((sum, { size }) => sum + size, 0)
  const choice = (kind: StoreKind, bytesMax = Infinity): StoreChoice => ({
    kind,
    survives: kind === 'own-storage' ? 'reload' : 'connection',
    bytesMax,
    fits: bytes <= bytesMax,
    picks: kind.startsWith('picked'),
  })
  const { ownStorageBytes, canStream, canPickFile, canPickFolder } = capabilities
  const isTree = files.length > LINKS_MAX || files.some(({ path }) => path.includes('/'))
  const own = ownStorageBytes === undefined ? [] : [choice('own-storage', ownStorageBytes)]
  const folder = canPickFolder ? [choice('picked-folder')] : []
  const memory = choice(isTree ? 'memory-zip' : 'memory', MEMORY_BYTES_MAX)
  const best = isTree
    ? [
        ...folder,
        ...(canStream ? [choice('zip-download')] : []),
        ...(canPickFile ? [choice('picked-zip')] : []),
        ...(files.length <= LINKS_MAX ? own : []),
      ]
    : [
        ...own,
        ...(canPickFile && files.length === 1 ? [choice('picked-file')] : []),
        ...folder,
        ...(canStream ? [choice('downloads')] : []),
      ]
  const [first, ...others] = [...best, memory]
  return first === undefined ? [memory] : [first, ...others]
}
