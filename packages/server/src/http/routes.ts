import type { OnError, Readiness } from '@peerage/core'
import { Hono, type Context } from 'hono'
import { etag } from 'hono/etag'
import { serveClient, type ClientFiles } from './client-files.js'
import { servePage } from './page.js'
import type { UrlWire } from '../config/url-wires.js'
import type { StaticFiles } from './static-files.js'
import { offText } from './unserved.js'

export interface RoutesOptions {
  /** The path of the page and of the greeting, with slashes at both ends. */
  base: string
  /** Answers `/readyz`. `/healthz` does not use it. */
  readiness: () => Readiness
  version: { version: string; protocol: number }
  page: StaticFiles | undefined
  /** The SDK as one file. It is served with and without the page. */
  client: ClientFiles
  /** The answer to a GET of `base` from a program that is no browser. */
  greeting: Readonly<Record<string, unknown>>
  /** The wires whose paths say what they are for. */
  wires: readonly UrlWire[]
  /** Called for an internal error. The answer says only that there was an error. */
  onError: OnError
}

/** The HTTP routes of the node itself: probes, version and page. Gateways take their requests before this. */
export function createRoutes(options: RoutesOptions): Hono {
  const { base, page } = options
  const routes = new Hono()
  routes.use(async (context, next) => {
    await next()
    context.header('X-Content-Type-Options', 'nosniff')
  })
  // A balancer asks a node directly. A monitor outside asks through a proxy, which may keep its path prefix.
  for (const at of new Set(['/', base])) addProbes(routes, at, options)
  routes.get(base, async (context, next) => {
    context.header('Vary', 'Accept')
    if (page === undefined || !wantsPage(context.req.header('Accept'))) return context.json(options.greeting)
    return next()
  })
  // The page loads its files and connects relative to its own URL, so the URL needs the slash.
  if (base !== '/')
    routes.get(base.slice(0, -1), (context) => context.redirect(base + new URL(context.req.url).search, 308))
  for (const wire of options.wires) routes.all(`${wire.path}/*`, (context) => answerAt(context, wire))
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
  // Liveness concerns this process only. If the probe needed Redis, every node would be killed when Redis is down.
  routes.get(`${at}healthz`, (context) => uncached(context).json({ status: 'ok' }))
  routes.get(`${at}readyz`, (context) => {
    const readiness = options.readiness()
    if (readiness.ready) return uncached(context).json({ status: 'ready' })
    // The details of the store are for operators, on the admin port.
    return uncached(context).json({ status: 'not ready', why: readiness.reason }, 503)
  })
  routes.get(`${at}version`, (context) => uncached(context).json(options.version))
}

/** Somebody opens the URL of a wire in a browser, or a BitTorrent program announces itself over HTTP. */
function answerAt(context: Context, wire: UrlWire): Response {
  if (!wire.isOn) return context.json({ error: offText(wire) }, 404)
  // RFC 9110 §15.5.22: the answer names the protocol that is needed.
  context.header('Upgrade', 'websocket')
  const error = 'this path takes WebSocket connections only: its URL begins with ws:// or wss://'
  return context.json({ error }, 426)
}

/** Browsers accept text/html explicitly. Programs accept anything, or JSON. */
function wantsPage(accept: string | undefined): boolean {
  return accept?.toLowerCase().includes('text/html') ?? false
}

function uncached(context: Context): Context {
  context.header('Cache-Control', 'no-store')
  return context
}
