import { openDesk, type StorageDesk } from '../storage-desk.js'

/** A desk without a worker: it checks blocks, and keeps no files. */
export function pageDesk(): Promise<StorageDesk> {
  return openDesk(() => {
    throw new Error('no worker here')
  })
}
