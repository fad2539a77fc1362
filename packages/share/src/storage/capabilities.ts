import type { Downloads } from './downloads-line.js'
import { freeBytes } from './opfs-store.js'
import type { StorageDesk } from './storage-desk.js'

// What this browser can do on this page, found by trying and never by the name of the browser.

export interface Capabilities {
  /** https, or this device itself. Without it there is none of the rest but memory. */
  isSecure: boolean
  /** Hashes and ciphers by the browser, and not by script. */
  hasSubtle: boolean
  /** Hashing and disk beside the page. */
  hasWorker: boolean
  /** How many bytes the browser's own storage has free. Undefined: it cannot be used here. */
  ownStorageBytes: number | undefined
  /** Downloads that are written as they arrive. */
  canStream: boolean
  /** The person can choose where a file goes before it comes. */
  canPickFile: boolean
  canPickFolder: boolean
  canCopy: boolean
  canShare: boolean
}

/** The parts of a page's global scope that are looked at. */
export interface PageScope {
  readonly isSecureContext: boolean
  readonly crypto: { readonly subtle?: unknown }
  readonly navigator: {
    readonly storage?: { estimate(): Promise<{ quota?: number; usage?: number }> }
    readonly clipboard?: { readonly writeText?: unknown }
    readonly share?: unknown
  }
  readonly showSaveFilePicker?: unknown
  readonly showDirectoryPicker?: unknown
}

export async function capabilitiesOf(
  scope: PageScope,
  desk: StorageDesk,
  downloads: Downloads | undefined,
): Promise<Capabilities> {
  const { navigator } = scope
  const storage = desk.hasFiles ? navigator.storage : undefined
  return {
    isSecure: scope.isSecureContext,
    hasSubtle: scope.crypto.subtle !== undefined,
    hasWorker: desk.isInWorker,
    ownStorageBytes: storage && (await freeBytes(storage, 0)),
    canStream: downloads !== undefined,
    canPickFile: typeof scope.showSaveFilePicker === 'function',
    canPickFolder: typeof scope.showDirectoryPicker === 'function',
    canCopy: typeof navigator.clipboard?.writeText === 'function',
    canShare: typeof navigator.share === 'function',
  }
}
