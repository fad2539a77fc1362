// What TypeScript's types for pages leave to workers, and the errors of browsers.

/** A file that is opened for one worker alone. */
export interface SyncHandle {
  read(into: Uint8Array<ArrayBuffer>, options: { at: number }): number
  write(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number
  truncate(size: number): void
  getSize(): number
  flush(): void
  close(): void
}

interface SyncFile {
  createSyncAccessHandle(): Promise<SyncHandle>
}

/** Whether files can be opened synchronously here. Browsers that can allow it in workers only. */
export function isSyncFile(file: object): file is SyncFile {
  return 'createSyncAccessHandle' in file && typeof file.createSyncAccessHandle === 'function'
}

/** The name of an exception of a browser, such as `NotFoundError`. Empty for anything else. */
export function nameOf(error: unknown): string {
  return error instanceof Error || error instanceof DOMException ? error.name : ''
}

export function textOf(error: unknown): string {
  return error instanceof Error || error instanceof DOMException ? error.message : String(error)
}

/** Undefined if there is no such entry. */
export async function ifFound<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (nameOf(error) === 'NotFoundError') return undefined
    throw error
  }
}
