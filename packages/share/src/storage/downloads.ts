import { serveDownloads, type DownloadScope } from './download-desk.js'

// The service worker of the page. It is built as `downloads.js` beside the page, and answers below `downloads/` only.

// TypeScript's types for pages do not know the global scope of a service worker.
serveDownloads(globalThis as unknown as DownloadScope)
