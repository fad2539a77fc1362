// Each framework with a node on its HTTP server. A row of the table is one order: the node is attached before or after the
// framework's own WebSockets, or (Fastify) after it listens. `npm run test:frameworks` installs them and runs this.
import dns from 'node:dns'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { createPeerage } from '@peerage/server'
import { WebSocket } from 'ws'

const [folder, ...wanted] = process.argv.slice(2)
const installed = createRequire(join(folder, 'package.json'))
const load = (name) => import(pathToFileURL(installed.resolve(name)).href)
const DEADLINE_MS = 20_000
/** Longer than socket.io's wait, below, before it destroys an upgrade that is not its own. */
const KEPT_MS = 400

// Machines differ in what localhost is. Here it has both addresses, as it usually has.
const both = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
]
const { lookup } = dns
dns.lookup = (host, ...rest) => {
  const [options, done] = rest.length === 1 ? [{}, rest[0]] : rest
  if (host !== 'localhost') return lookup(host, options, done)
  process.nextTick(() => (options.all ? done(null, both) : done(null, '127.0.0.1', 4)))
}

const echo = (socket) => socket.on('message', (data) => socket.send(`echo ${data}`))

/** Listens on one address, and says how to end it. */
async function plain(server, close = async () => {}) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    hosts: [`127.0.0.1:${server.address().port}`],
    close: async () => {
      server.closeAllConnections()
      server.close()
      await close()
    },
  }
}

const twice = ['before', 'after']

/** Each makes its server, with a page at /page; `attach` is called at its moment of `orders`. */
const frameworks = {
  fastify: { orders: ['before', 'after', 'listening'], own: '/echo', make: (at) => fastify('fastify', at) },
  'fastify-4': { orders: ['before', 'after', 'listening'], make: (at) => fastify('fastify-4', at) },
  ws: {
    orders: twice,
    own: '/echo',
    make: async (at) => {
      const server = createServer((_, response) => response.end('page'))
      at('before', server)
      const { WebSocketServer } = installed('ws')
      new WebSocketServer({ server, path: '/echo' }).on('connection', echo)
      at('after', server)
      return plain(server)
    },
  },
  'express-ws': {
    orders: twice,
    own: '/echo',
    make: async (at) => {
      const app = installed('express')()
      const server = createServer(app)
      at('before', server)
      installed('express-ws')(app, server)
      app.get('/page', (_, response) => response.send('page'))
      app.ws('/echo', echo)
      at('after', server)
      return plain(server)
    },
  },
  'socket.io': {
    orders: twice,
    own: '/socket.io/?EIO=4&transport=websocket',
    make: async (at) => {
      const server = createServer((_, response) => response.end('page'))
      at('before', server)
      const { Server } = installed('socket.io')
      const io = new Server(server, { destroyUpgradeTimeout: KEPT_MS / 2 })
      at('after', server)
      return plain(server, async () => io.engine.close())
    },
  },
  'http-proxy': {
    orders: twice,
    own: '/echo',
    make: async (at) => {
      const { WebSocketServer } = installed('ws')
      const far = new WebSocketServer({ port: 0, host: '127.0.0.1', path: '/echo' })
      far.on('connection', echo)
      await once(far, 'listening')
      const target = `http://127.0.0.1:${far.address().port}`
      const proxy = installed('http-proxy').createProxyServer({ target, ws: true })
      proxy.on('error', () => {})
      const server = createServer((_, response) => response.end('page'))
      at('before', server)
      server.on('upgrade', (request, socket, head) => proxy.ws(request, socket, head))
      at('after', server)
      return plain(server, async () => far.close())
    },
  },
  koa: {
    orders: ['before'],
    make: async (at) => {
      const Koa = installed('koa')
      const app = new (Koa.default ?? Koa)()
      app.use((context) => (context.body = 'page'))
      const server = createServer(app.callback())
      at('before', server)
      return plain(server)
    },
  },
  hapi: {
    orders: ['before'],
    make: async (at) => {
      const hapi = installed('@hapi/hapi').server({ port: 0, host: '127.0.0.1' })
      hapi.route({ method: 'GET', path: '/page', handler: () => 'page' })
      at('before', hapi.listener)
      await hapi.start()
      return { hosts: [`127.0.0.1:${hapi.info.port}`], close: () => hapi.stop({ timeout: 100 }) }
    },
  },
  vite: {
    orders: twice,
    own: (vite) => ({ path: `/?token=${vite.config.webSocketToken}`, protocol: 'vite-hmr' }),
    make: async (at) => {
      const { createServer: createVite } = await load('vite')
      const server = createServer((request, response) =>
        request.url === '/page' ? response.end('page') : vite.middlewares(request, response),
      )
      at('before', server)
      const vite = await createVite({
        configFile: false,
        root: folder,
        logLevel: 'silent',
        appType: 'custom',
        server: { middlewareMode: true, hmr: { server } },
      })
      at('after', server)
      return { ...(await plain(server, () => vite.close())), context: vite }
    },
  },
  next: {
    orders: twice,
    own: '/_next/hmr?id=test',
    make: async (at) => {
      const dir = mkdtempSync(join(folder, 'next-'))
      mkdirSync(join(dir, 'pages'))
      writeFileSync(join(dir, 'pages/page.js'), "export default function Page() { return 'page' }\n")
      const server = createServer((request, response) => handle(request, response))
      at('before', server)
      const app = installed('next')({ dev: true, dir, httpServer: server, quiet: true, webpack: true })
      await app.prepare()
      const handle = app.getRequestHandler()
      at('after', server)
      return plain(server, () => app.close())
    },
  },
}

async function fastify(name, at) {
  const app = installed(name)({ forceCloseConnections: true })
  app.get('/page', async () => 'page')
  at('before', app.server)
  if (name === 'fastify') {
    await app.register(installed('@fastify/websocket'))
    await app.register(async (own) => own.get('/echo', { websocket: true }, echo))
  }
  await app.ready()
  at('after', app.server)
  await app.listen({ port: 0, host: 'localhost' })
  at('listening', app.server)
  const { port } = app.server.address()
  return { hosts: [`127.0.0.1:${port}`, `[::1]:${port}`], close: () => app.close() }
}

/** The first message of a WebSocket; what we say first, an echo needs. */
async function firstMessage(url, protocol = []) {
  const socket = new WebSocket(url, protocol)
  socket.on('open', () => url.endsWith('/echo') && socket.send('hello'))
  try {
    const [data] = await once(socket, 'message', { signal: AbortSignal.timeout(DEADLINE_MS) })
    return String(data)
  } finally {
    socket.on('error', () => {})
    socket.terminate()
  }
}

async function expect(what, got, pattern) {
  const text = await got
  if (!pattern.test(text)) throw new Error(`${what}: ${String(text).slice(0, 200)}`)
}

async function textOf(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS) })
  const text = await response.text()
  return response.ok ? text : `${response.status} ${text}`
}

/** Ours goes on past the moment in which others give up on what they do not know. */
async function staysOpen(url) {
  const socket = new WebSocket(url)
  await once(socket, 'message', { signal: AbortSignal.timeout(DEADLINE_MS) })
  await new Promise((resolve) => setTimeout(resolve, KEPT_MS))
  const { readyState } = socket
  socket.terminate()
  return readyState === WebSocket.OPEN ? 'open' : 'closed'
}

async function probe({ hosts, context }, own) {
  for (const host of hosts) {
    await expect(`page, ${host}`, textOf(`http://${host}/page`), /^(?!\d).*page/s)
    await expect(`PeerJS id, ${host}`, textOf(`http://${host}/peerjs/id`), /^[0-9a-f-]{36}$/)
    const native = `ws://${host}/peerage/?EIO=4&transport=websocket`
    await expect(`native, ${host}`, firstMessage(native), /^0\{"sid":/)
    await expect(`native, later, ${host}`, staysOpen(native), /^open$/)
    const peerjs = `ws://${host}/peerjs?key=peerjs&id=a&token=t&version=1`
    await expect(`PeerJS, ${host}`, firstMessage(peerjs), /^\{"type":"OPEN"\}$/)
    if (own === undefined) continue
    const { path, protocol } = typeof own === 'string' ? { path: own } : own(context)
    await expect(`its own WebSocket, ${host}`, firstMessage(`ws://${host}${path}`, protocol), /./)
  }
}

const silent = { info() {}, warn() {}, error() {}, debug() {} }
let [passed, failed] = [0, 0]
for (const [name, { orders, own, make }] of Object.entries(frameworks)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  for (const order of orders) {
    const node = createPeerage({ logger: silent })
    let made
    try {
      made = await make((moment, server) => moment === order && node.attach(server))
      await probe(made, own)
      passed++
      console.log(`ok    ${name.padEnd(12)} attached ${order}`)
    } catch (error) {
      failed++
      console.log(`FAIL  ${name.padEnd(12)} attached ${order}: ${error?.stack ?? error}`)
    } finally {
      await node.stop()
      await made?.close()
    }
  }
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
