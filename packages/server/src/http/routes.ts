import type { OnError, Readiness } from '@peerage/core'
import { Hono, type Context } from 'hono'
import { etag } from 'hono/etag'
import { serveClient, type ClientFiles } from './client-files.js'
import { servePage, type Page } from './page.js'

export interface RoutesOptions {
  /** What the page and the greeting are at, with slashes on both ends. */
  base: string
  /** What `/readyz` says. `/healthz` asks nobody. */
  readiness: () => Readiness
  version: { version: string; protocol: number }
  page: Page | undefined
  /** The SDK as one file. It is served with and without the page. */
  client: ClientFiles
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
  routes.get(base, async (context, next) => {
    context.header('Vary', 'Accept')
    if (page === undefined || !wantsPage(context.req.header('Accept'))) return context.json(options.greeting)
    return next()
  })
  // The page finds its files, and the tier, beside itself.
  if (base !== '/')
    routes.get(base.slice(0, -1), (context) => context.redirect(base + new URL(context.req.url).search, 308))
  serveClient(routes, base, options.client)
  if (page !== undefined) routes.get('*', etag(), servePage(page, base))
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
