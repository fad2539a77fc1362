import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { MiddlewareHandler } from 'hono'
import { serveStatic } from 'hono/serve-static'

/** What a page is made of. Any other file beside it is not for the web. */
const OF_THE_PAGE = /[^/\\]\.(?:html|js|css|json|webmanifest|svg|png|ico|woff2|txt)$/

/** The files of the page by their path below it, held in memory: there are few, and they are small. */
export type Page = ReadonlyMap<string, PageFile>

interface PageFile {
  body: Uint8Array<ArrayBuffer>
  etag: string
}

/** Nothing but what comes from here, and no inline script. ws: and wss: are for browsers whose 'self' leaves WebSockets out. */
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

/** Where packages/share builds the page to: part of this package, seen from `src` and from `dist` alike. */
export const PAGE_DIRECTORY = fileURLToPath(new URL('../../dist/page/', import.meta.url))

/** Reads the built page; undefined where it has not been built. */
export function loadPage(directory: string = PAGE_DIRECTORY): Page | undefined {
  let names: string[]
  try {
    names = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  } catch {
    return undefined // not built
  }
  const files = new Map<string, PageFile>()
  for (const name of names) {
    if (!OF_THE_PAGE.test(name)) continue
    const body = readFileSync(join(directory, name))
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
    files.set(name.split(sep).join('/'), { body, etag })
  }
  return files.has('index.html') ? files : undefined
}

/** Serves the page below `base`; at `base` itself its index. What is no file of it is left to others. */
export function servePage(page: Page, base: string): MiddlewareHandler {
  return serveStatic({
    root: '',
    // What is not below the base keeps its slash, and no file begins with one. The base itself is asked for as `.`.
    rewriteRequestPath: (path) => (path.startsWith(base) ? path.slice(base.length) : path),
    isDir: (path) => path === '.',
    getContent: (path) => Promise.resolve(page.get(path)?.body ?? null),
    onFound: (path, context) => {
      context.header('ETag', page.get(path)?.etag)
      // The names of assets hold a hash of their content, so they never change.
      const isImmutable = path.startsWith('assets/')
      context.header('Cache-Control', isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache')
      context.header('Content-Security-Policy', PAGE_CSP)
      context.header('Referrer-Policy', 'no-referrer')
      context.header('Cross-Origin-Opener-Policy', 'same-origin')
    },
  })
}
