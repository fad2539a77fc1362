import type { OnError, Readiness } from '@peerage/core'
import { Hono, type Context } from 'hono'
import { PAGE_CSP, type PageFile } from './page.js'

export interface RoutesOptions {
  /** What `/readyz` says. `/healthz` asks nobody. */
  readiness: () => Readiness
  version: { version: string; protocol: number }
  page: ReadonlyMap<string, PageFile> | undefined
  /** What `GET /` tells those who are no browser. */
  greeting: Readonly<Record<string, unknown>>
  /** A fault of ours; whoever asked is told no more than that there was one. */
  onError: OnError
}

/** The node's own HTTP: probes, version, the page. What belongs to a gateway has been taken before. */
export function createRoutes(options: RoutesOptions): Hono {
  const routes = new Hono()
  routes.use(async (context, next) => {
    await next()
    context.header('X-Content-Type-Options', 'nosniff')
  })
  // Liveness is this process alone: a probe that needs Redis has every node killed when Redis is away.
  routes.get('/healthz', (context) => uncached(context).json({ status: 'ok' }))
  routes.get('/readyz', (context) => {
    const readiness = options.readiness()
    if (readiness.ready) return uncached(context).json({ status: 'ready' })
    // The words of the store are the operator's, on the admin port.
    return uncached(context).json({ status: 'not ready', why: readiness.reason }, 503)
  })
  routes.get('/version', (context) => uncached(context).json(options.version))
  routes.get('/', (context) => {
    const index = options.page?.get('/index.html')
    context.header('Vary', 'Accept')
    if (index === undefined || !wantsPage(context.req.header('Accept'))) return context.json(options.greeting)
    return sendFile(context, index)
  })
  routes.get('*', (context) => {
    const file = options.page?.get(context.req.path)
    return file === undefined ? context.notFound() : sendFile(context, file)
  })
  routes.onError((error, context) => {
    options.onError(error, { stage: 'http' })
    return context.json({ error: 'internal error' }, 500)
  })
  routes.notFound((context) => context.json({ error: 'not found' }, 404))
  return routes
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
