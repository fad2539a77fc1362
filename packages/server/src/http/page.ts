import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** One file of the page, held in memory: there are few, and they are small. */
export interface PageFile {
  body: Buffer
  type: string
  etag: string
  /** Its name holds a hash of its content, so it never changes. */
  immutable: boolean
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
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

/** Where Vite puts the page. */
export const PAGE_DIRECTORY = fileURLToPath(new URL('../../../share/dist/', import.meta.url))

/** Reads the built page; undefined where it has not been built. */
export function loadPage(directory: string = PAGE_DIRECTORY): ReadonlyMap<string, PageFile> | undefined {
  let names: string[]
  try {
    names = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  } catch {
    return undefined // not built
  }
  const files = new Map<string, PageFile>()
  for (const name of names) {
    const type = TYPES[extname(name)]
    if (type === undefined) continue
    const path = join(directory, name)
    const body = readFileSync(path)
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
    const url = `/${relative(directory, path).split(sep).join('/')}`
    files.set(url, { body, type, etag, immutable: url.startsWith('/assets/') })
  }
  return files.has('/index.html') ? files : undefined
}
