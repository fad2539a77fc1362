import type { OnError, Readiness } from '@peerage/core'
import { Hono, type Context } from 'hono'
import { PAGE_CSP, type PageFile } from './page.js'

export interface RoutesOptions {
  /** What the page and the greeting are at, with slashes on both ends. */
  base: string
  /** What `/readyz` says. `/healthz` asks nobody. */
  readiness: () => Readiness
  version: { version: string; protocol: number }
  page: ReadonlyMap<string, PageFile> | undefined
  /** What a GET of `base` tells those who are no browser. */
  greeting: Readonly<Record<string, unknown>>
  /** A fault of ours; whoever asked is told no more than that there was one. */
  onError: OnError
}

/** The node's own HTTP: probes, version, the page. What belongs to a gateway has been taken before. */
export function createRoutes(options: RoutesOptions): Hono {
  const { base, page } = options
  const routes = new Hono()
  routes.use(async (context, next) => {
    await next()
    context.header('X-Content-Type-Options', 'nosniff')
  })
  // A balancer asks the nodes themselves, and whoever watches from outside asks through the proxy that keeps its prefix.
  for (const at of new Set(['/', base])) addProbes(routes, at, options)
  routes.get(base, (context) => {
    const index = page?.get('/index.html')
    context.header('Vary', 'Accept')
    if (index === undefined || !wantsPage(context.req.header('Accept'))) return context.json(options.greeting)
    return sendFile(context, index)
  })
  // The page finds its files, and the tier, beside itself.
  if (base !== '/')
    routes.get(base.slice(0, -1), (context) => context.redirect(base + new URL(context.req.url).search, 308))
  routes.get('*', (context) => {
    const { path } = context.req
    const file = path.startsWith(base) ? page?.get(path.slice(base.length - 1)) : undefined
    return file === undefined ? context.notFound() : sendFile(context, file)
  })
  routes.onError((error, context) => {
    options.onError(error, { stage: 'http' })
    return context.json({ error: 'internal error' }, 500)
  })
  routes.notFound((context) => context.json({ error: 'not found' }, 404))
  return routes
}

function addProbes(routes: Hono, at: string, options: RoutesOptions): void {
  // Liveness is this process alone: a probe that needs Redis has every node killed when Redis is away.
  routes.get(`${at}healthz`, (context) => uncached(context).json({ status: 'ok' }))
  routes.get(`${at}readyz`, (context) => {
    const readiness = options.readiness()
    if (readiness.ready) return uncached(context).json({ status: 'ready' })
    // The words of the store are the operator's, on the admin port.
    return uncached(context).json({ status: 'not ready', why: readiness.reason }, 503)
  })
  routes.get(`${at}version`, (context) => uncached(context).json(options.version))
}

/** Browsers name text/html; programs accept anything, or JSON. */
function wantsPage(accept: string | undefined): boolean {
  return accept?.toLowerCase().includes('text/html') ?? false
}

function uncached(context: Context): Context {
  context.header('Cache-Control', 'no-store')
  return context
}

function sendFile(context: Context, file: PageFile): Response {
  context.header('Content-Type', file.type)
  context.header('ETag', file.etag)
  context.header('Cache-Control', file.immutable ? 'public, max-age=31536000, immutable' : 'no-cache')
  context.header('Content-Security-Policy', PAGE_CSP)
  context.header('Referrer-Policy', 'no-referrer')
  context.header('Cross-Origin-Opener-Policy', 'same-origin')
  if (context.req.header('If-None-Match') === file.etag) return context.body(null, 304)
  return context.body(new Uint8Array(file.body))
}
