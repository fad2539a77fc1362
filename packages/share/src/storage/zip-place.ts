import { StoreError } from '@peerage/client/transfer'
import { MEMORY_BYTES_MAX } from './choose-store.js'
import type { Downloads } from './downloads-line.js'
import type { Sink } from './sink.js'
import { memorySink, pickedSink } from './sinks.js'
import type { StorageDesk } from './storage-desk.js'
import type { ZipPlace } from './storage.js'
import { zipStore, type ZipStore } from './zip-store.js'

// Loaded when the first archive is needed.

/** A zip archive at one of the places that a page has. */
export function zipTo(
  desk: StorageDesk,
  downloads: Downloads | undefined,
  name: string,
  count: number,
  place: ZipPlace,
): ZipStore {
  const openSink = async (): Promise<Sink> => {
    switch (place.kind) {
      case 'picked':
        return pickedSink(place.file)
      case 'memory':
        return memorySink('application/zip', MEMORY_BYTES_MAX)
      case 'download':
        if (downloads !== undefined) return downloads.open(name, undefined)
        throw new StoreError(
          'failed',
          'This browser does not let this page write downloads while they arrive.',
        )
    }
  }
  return zipStore(desk, { openSink, count, now: Date.now })
}
