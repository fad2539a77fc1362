import { fileURLToPath } from 'node:url'
import type { MiddlewareHandler } from 'hono'
import { loadFiles, serveFiles, type StaticFiles } from './static-files.js'

/** The file names that are served. Any other file in the folder stays private. */
const SERVED_FILE = /[^/\\]\.(?:html|js|css|json|webmanifest|svg|png|ico|woff2|txt)$/

/** Allows only this origin and no inline script. `ws:` and `wss:` are for browsers whose 'self' excludes WebSockets. */
export const PAGE_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "media-src 'self' blob:",
  "font-src 'self'",
  "connect-src 'self' ws: wss: blob:",
  "worker-src 'self'",
  // A download that is written while it arrives is asked for in a frame, and answered by the page's service worker.
  "frame-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Where packages/share builds the page: part of this package, and the same folder seen from `src` and from `dist`. */
export const PAGE_DIRECTORY = fileURLToPath(new URL('../../dist/page/', import.meta.url))

/** Reads the built page. Undefined if it has not been built. */
export function loadPage(directory: string = PAGE_DIRECTORY): StaticFiles | undefined {
  const files = loadFiles(directory, SERVED_FILE)
  return files.has('index.html') ? files : undefined
}

/** Serves the page below `base`. Other paths are left to the next handler. */
export function servePage(page: StaticFiles, base: string): MiddlewareHandler {
  return serveFiles(page, base, (path, context) => {
    // The name of an asset contains a hash of its content, so an asset never changes.
    const isImmutable = path.startsWith('assets/')
    context.header('Cache-Control', isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache')
    context.header('Content-Security-Policy', PAGE_CSP)
    context.header('Referrer-Policy', 'no-referrer')
    context.header('Cross-Origin-Opener-Policy', 'same-origin')
  })
}
