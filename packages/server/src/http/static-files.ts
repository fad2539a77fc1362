import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import type { Context, MiddlewareHandler } from 'hono'
import { serveStatic } from 'hono/serve-static'

/** What scripts/compress.mjs adds to the name of a file that it compressed. */
const COMPRESSED = /\.(?:br|gz)$/

/** The same endings, by their Content-Encoding. */
const ENDINGS: ReadonlyMap<string | null, string> = new Map([
  ['br', '.br'],
  ['gzip', '.gz'],
])

/** The files of a folder by their path in it. They are held in memory because they are few and small. */
export type StaticFiles = ReadonlyMap<string, StaticFile>

interface StaticFile {
  body: Uint8Array<ArrayBuffer>
  /** Weak, because the file and its compressed forms have the same one. */
  etag: string
}

/** Reads the files whose name matches `served`, and their compressed forms. There are none in a folder that is missing. */
export function loadFiles(directory: string, served: RegExp): StaticFiles {
  const files = new Map<string, StaticFile>()
  for (const name of namesIn(directory)) {
    if (!served.test(name.replace(COMPRESSED, ''))) continue
    const body = readFileSync(join(directory, name))
    const hash = createHash('sha256').update(body).digest('base64url').slice(0, 22)
    files.set(name.split(sep).join('/'), { body, etag: `W/"${hash}"` })
  }
  return files
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: 'utf8' })
  } catch {
    return [] // not built
  }
}

/**
 * Serves `files` below `base`, compressed if the browser accepts it, and `index.html` at `base` itself. Other paths are left
 * to the next handler. `addHeaders` gets the path of the file.
 */
export function serveFiles(
  files: StaticFiles,
  base: string,
  addHeaders: (path: string, context: Context) => void,
): MiddlewareHandler {
  return serveStatic({
    root: '',
    precompressed: true,
    // A path outside the base keeps its leading slash, so it matches no file, and so does that of a compressed form. The
    // base itself is requested as `.`.
    rewriteRequestPath: (path) =>
      path.startsWith(base) && !COMPRESSED.test(path) ? path.slice(base.length) : path,
    isDir: (path) => path === '.',
    getContent: (path) => Promise.resolve(files.get(path)?.body ?? null),
    onFound: (path, context) => {
      const encoding = context.res.headers.get('Content-Encoding')
      const sent = files.get(path + (ENDINGS.get(encoding) ?? ''))
      // An answer to HEAD has no body whose length could be seen.
      if (sent !== undefined) context.header('Content-Length', String(sent.body.byteLength))
      // Hono adds this to a compressed answer only. A cache must not keep the plain one for everybody either.
      if (encoding === null && [...ENDINGS.values()].some((ending) => files.has(path + ending)))
        context.header('Vary', 'Accept-Encoding', { append: true })
      context.header('ETag', files.get(path)?.etag)
      addHeaders(path, context)
    },
  })
}
