import { fileURLToPath } from 'node:url'
import type { Hono } from 'hono'
import { etag, RETAINED_304_HEADERS } from 'hono/etag'
import { loadFiles, serveFiles, type StaticFiles } from './static-files.js'

/** The SDK as one file: a module, and a script that sets the global `Peerage`. */
const CLIENT_FILE = /^peerage(?:\.global)?\.js$/

/** Where scripts/bundle.mjs puts the files: part of this package, seen from `src` and from `dist` alike. */
const CLIENT_DIRECTORY = fileURLToPath(new URL('../../dist/client/', import.meta.url))

/** Pages of any origin may load these files, even pages that ask for isolation (COEP). */
const FOR_ANY_ORIGIN = { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' }

export interface ClientFiles {
  version: string
  /** By the name that holds the version, such as `peerage-0.1.0.js`. */
  files: StaticFiles
}

/** Reads the files; there are none in a checkout that only `tsc` has built. */
export function loadClient(version: string, directory: string = CLIENT_DIRECTORY): ClientFiles {
  const named = [...loadFiles(directory, CLIENT_FILE)].map(
    ([name, file]) => [name.replace(/^peerage/, `peerage-${version}`), file] as const,
  )
  return { version, files: new Map(named) }
}

/**
 * Serves `{base}client/peerage-<version>.js`, which may be cached forever, and redirects `{base}client/peerage.js` to
 * it. A node has the file of its own version only, so while a cluster is updated, either version may be missing.
 */
export function serveClient(routes: Hono, base: string, { version, files }: ClientFiles): void {
  const at = `${base}client/`
  const path = `${at}:file{peerage[\\w.+-]*\\.js}`
  const retainedHeaders = [...RETAINED_304_HEADERS, ...Object.keys(FOR_ANY_ORIGIN)]
  routes.use(path, async (context, next) => {
    await next()
    for (const [name, value] of Object.entries(FOR_ANY_ORIGIN)) context.header(name, value)
  })
  routes.get(
    path,
    etag({ retainedHeaders }),
    serveFiles(files, at, (_, context) =>
      context.header('Cache-Control', 'public, max-age=31536000, immutable'),
    ),
    (context) => {
      const file = context.req.param('file') ?? ''
      const current = file.replace(/^peerage/, `peerage-${version}`)
      context.header('Cache-Control', 'no-cache')
      // The address is relative, because a proxy may have removed a prefix.
      if (files.has(current)) return context.redirect(current, 302)
      context.header('Cache-Control', 'no-store')
      const names = [...files.keys()].filter((name) => name.endsWith('.js')).toSorted()
      const why =
        names.length === 0
          ? 'it was built without the SDK as one file (npm run build makes it)'
          : `it has ${names.join(' and ')}; nodes of two versions answer while a cluster is updated, so load peerage.js, or a copy of your own`
      return context.text(`This node has no ${file}: ${why}.\n`, 404)
    },
  )
  routes.all(path, (context) =>
    context.text('This address has a file to read: use GET.\n', 405, { Allow: 'GET, HEAD' }),
  )
}
