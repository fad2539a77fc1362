// What the page and its service worker say to each other about a download.

/** From the page to the service worker. Each message comes with a port. */
export type DownloadOrder =
  /** A download will be asked for at `downloads/ID/…`. Its bytes come through the port. */
  | { type: 'open'; id: string; name: string; size: number | undefined }
  /** Keeps the service worker alive, and asks whether it still has the download. */
  | { type: 'ping'; id: string }

/** The answer to a ping. */
export interface Pong {
  isKnown: boolean
}

/** From the page, through the port of a download. */
export type ToDownload =
  | { type: 'bytes'; bytes: Uint8Array<ArrayBuffer> }
  | { type: 'end' }
  | { type: 'abort' }

/** From the service worker, through the port of a download. */
export type FromDownload =
  /** The service worker knows of the download. A request that comes earlier would find nothing. */
  | { type: 'ready' }
  /** The browser has asked for the download. */
  | { type: 'started' }
  /** The browser has taken all bytes so far, and wants more. */
  | { type: 'pull' }
  /** The browser has all bytes. */
  | { type: 'ended' }
  /** The person has cancelled the download, or the disk is full. */
  | { type: 'cancelled' }
