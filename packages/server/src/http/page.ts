import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { MiddlewareHandler } from 'hono'
import { serveStatic } from 'hono/serve-static'

/** The file names that are served. Any other file in the folder stays private. */
const SERVED_FILE = /[^/\\]\.(?:html|js|css|json|webmanifest|svg|png|ico|woff2|txt)$/

/** The files of the page by their path. They are held in memory because they are few and small. */
export type Page = ReadonlyMap<string, PageFile>

interface PageFile {
  body: Uint8Array<ArrayBuffer>
  etag: string
}

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
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Where packages/share builds the page: part of this package, and the same folder seen from `src` and from `dist`. */
export const PAGE_DIRECTORY = fileURLToPath(new URL('../../dist/page/', import.meta.url))

/** Reads the built page. Undefined if it has not been built. */
export function loadPage(directory: string = PAGE_DIRECTORY): Page | undefined {
  let names: string[]
  try {
    names = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  } catch {
    return undefined // not built
  }
  const files = new Map<string, PageFile>()
  for (const name of names) {
    if (!SERVED_FILE.test(name)) continue
    const body = readFileSync(join(directory, name))
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
    files.set(name.split(sep).join('/'), { body, etag })
  }
  return files.has('index.html') ? files : undefined
}

/** Serves the page below `base`, and its index at `base` itself. Other paths are left to the next handler. */
export function servePage(page: Page, base: string): MiddlewareHandler {
  return serveStatic({
    root: '',
    // A path outside the base keeps its leading slash, so it matches no file. The base itself is requested as `.`.
    rewriteRequestPath: (path) => (path.startsWith(base) ? path.slice(base.length) : path),
    isDir: (path) => path === '.',
    getContent: (path) => Promise.resolve(page.get(path)?.body ?? null),
    onFound: (path, context) => {
      context.header('ETag', page.get(path)?.etag)
      // The name of an asset contains a hash of its content, so an asset never changes.
      const isImmutable = path.startsWith('assets/')
      context.header('Cache-Control', isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache')
      context.header('Content-Security-Policy', PAGE_CSP)
      context.header('Referrer-Policy', 'no-referrer')
      context.header('Cross-Origin-Opener-Policy', 'same-origin')
    },
  })
}
