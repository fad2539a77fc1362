import { createSocket, Socket as UdpSocket } from 'node:dgram'
import diagnostics from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type AddressInfo, type Server as NetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryCluster, type Backend } from '@peerage/core'
import { bindUdp, queryBinding } from '@peerage/stun'
import { pino } from 'pino'
import { Server as SocketIo } from 'socket.io'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { freePortPair } from '@peerage/test-support/ports.js'
import { createPeerage, type Peerage, type PeerageOptions } from './peerage.js'

const silent = pino({ level: 'silent' })
const closers: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function peerage(options: PeerageOptions = {}): Peerage {
  const node = createPeerage({ logger: silent, ...options })
  closers.push(() => node.stop())
  return node
}

async function listening(server: Server = createServer(), wanted = 0, host = '127.0.0.1'): Promise<number> {
  server.listen(wanted, host)
  await once(server, 'listening')
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

function fetchText(url: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response: IncomingMessage) => {
      let text = ''
      response.on('data', (chunk) => (text += String(chunk)))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    }).on('error', reject)
  })
}

/** Opens a WebSocket and waits for its first message. */
function firstMessage(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url)
    closers.push(() => socket.terminate())
    socket.on('message', (data: Buffer) => resolve(data.toString()))
    socket.on('error', reject)
  })
}

const native = (port: number, host = '127.0.0.1'): string =>
  `ws://${host}:${port}/peerage/?EIO=4&transport=websocket`
const peerjs = (port: number, host = '127.0.0.1'): string =>
  `ws://${host}:${port}/peerjs?key=peerjs&id=a&token=t&version=1`

/** A store that starts when `start` is called. */
function lateBackend(): { backend: Backend; start: () => void } {
  const backend = memoryCluster().backend()
  const begin = backend.start.bind(backend)
  let start = (): void => {}
  const started = new Promise<void>((resolve) => (start = resolve))
  backend.start = (onEvent) => started.then(() => begin(onEvent))
  return { backend, start }
}

async function untilBound(port: number): Promise<UdpSocket> {
  for (;;) {
    try {
      return await bindUdp('127.0.0.1', port)
    } catch {
      // The port is still taken. The timeout of the test is the deadline.
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

async function upgradeOnly(port: number, path: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  closers.push(() => void socket.destroy())
  const key = Buffer.alloc(16).toString('base64')
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  )
  return socket
}

describe('attached to an application that has handlers of its own', () => {
  test('the node takes both wires, and the application everything else', async () => {
    const server = createServer((request, response) => response.end(`app ${request.url}`))
    peerage().attach(server)
    const port = await listening(server)
    expect(await firstMessage(native(port))).toMatch(/^0\{"sid":/)
    expect(await firstMessage(peerjs(port))).toBe('{"type":"OPEN"}')
    for (const path of ['/', '/healthz', '/readyz', '/version', '/users/id', '/peerage'])
      expect((await fetchText(`http://127.0.0.1:${port}${path}`)).text).toBe(`app ${path}`)
    expect((await fetchText(`http://127.0.0.1:${port}/peerjs/id`)).text).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('the order of listeners does not matter, nor that socket.io replaces the request listeners', async () => {
    const server = createServer()
    peerage().attach(server)
    server.on('request', (request, response) => response.end(`late ${request.url}`))
    const io = new SocketIo(server, { destroyUpgrade: false })
    closers.push(() => void io.engine.close())
    const port = await listening(server)
    expect((await fetchText(`http://127.0.0.1:${port}/x`)).text).toBe('late /x')
    expect((await fetchText(`http://127.0.0.1:${port}/peerjs/id`)).text).toMatch(/^[0-9a-f-]{36}$/)
    expect((await fetchText(`http://127.0.0.1:${port}/socket.io/?EIO=4&transport=polling`)).text).toMatch(
      /^0\{/,
    )
    expect(await firstMessage(`ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`)).toMatch(/^0\{/)
    expect(await firstMessage(native(port))).toMatch(/^0\{"sid":/)
  })

  test('an upgrade that another listener answers late is neither answered nor closed by the node', async () => {
    const server = createServer()
    peerage().attach(server)
    const others = new WebSocketServer({ noServer: true })
    let goOn: () => void = () => {}
    const asked = new Promise<void>((resolve) => {
      server.on('upgrade', (request, socket, head) => {
        if (request.url !== '/slow') return
        goOn = () => others.handleUpgrade(request, socket, head, (ws) => ws.send('at last'))
        resolve()
      })
    })
    const port = await listening(server)
    const message = firstMessage(`ws://127.0.0.1:${port}/slow`)
    await asked
    // Upgrades of the node pass meanwhile.
    expect(await firstMessage(native(port))).toMatch(/^0/)
    goOn()
    expect(await message).toBe('at last')
  })

  test.each([
    ['before', undefined],
    ['before', '/app'],
    ['after', undefined],
    ['after', '/app'],
  ])('a ws server that the application adds %s the node, for the path %s, works', async (when, path) => {
    const server = createServer()
    const theirs = (): void => {
      const others = new WebSocketServer(path === undefined ? { server } : { server, path })
      others.on('connection', (socket) => socket.send('theirs'))
    }
    if (when === 'before') theirs()
    peerage().attach(server)
    if (when === 'after') theirs()
    const port = await listening(server)
    expect(await firstMessage(native(port))).toMatch(/^0\{"sid":/)
    expect(await firstMessage(peerjs(port))).toBe('{"type":"OPEN"}')
    expect(await firstMessage(`ws://127.0.0.1:${port}/app`)).toBe('theirs')
  })

  test.each(['before', 'after'])(
    'socket.io that is added %s the node closes unknown upgrades, but none of the node',
    async (when) => {
      const server = createServer()
      const theirs = (): void => {
        const io = new SocketIo(server, { destroyUpgradeTimeout: 1 })
        closers.push(() => void io.engine.close())
      }
      if (when === 'before') theirs()
      peerage().attach(server)
      if (when === 'after') theirs()
      // Even a listener that puts itself first comes after the node.
      server.prependListener('upgrade', (request, socket) => {
        if (request.url !== '/nobody') socket.destroy()
      })
      const port = await listening(server)
      const ours = new WebSocket(native(port))
      closers.push(() => ours.terminate())
      await once(ours, 'message')
      const stray = await upgradeOnly(port, '/nobody')
      stray.resume()
      await once(stray, 'close')
      expect(ours.readyState).toBe(WebSocket.OPEN)
    },
  )

  test('the node keeps its upgrades when the application removes every upgrade listener', async () => {
    const server = createServer()
    const node = peerage()
    node.attach(server)
    server.on('upgrade', (_, socket) => void socket.destroy())
    server.removeAllListeners('upgrade')
    const port = await listening(server)
    expect(await firstMessage(native(port))).toMatch(/^0\{"sid":/)
    for (const listener of server.listeners('upgrade')) server.off('upgrade', listener as () => void)
    expect(await firstMessage(peerjs(port))).toBe('{"type":"OPEN"}')
    await node.stop()
    expect([server.listenerCount('upgrade'), server.listenerCount('removeListener')]).toEqual([0, 0])
  })

  // Fastify on `localhost` has a second server, which it does not expose.
  test.each(['before', 'after'])(
    'attached %s the server listens, the node works on its second address too',
    async (when) => {
      const app = (request: IncomingMessage, response: ServerResponse): void => {
        response.end(`app ${request.url}`)
      }
      const [server, second, stranger] = [createServer(app), createServer(app), createServer(app)]
      const node = peerage()
      if (when === 'before') node.attach(server)
      const port = await listening(server)
      second.on('upgrade', server.emit.bind(server, 'upgrade'))
      await listening(second, port, '127.0.0.2')
      if (when === 'after') node.attach(server)
      await listening(stranger)
      for (const host of ['127.0.0.1', '127.0.0.2']) {
        expect((await fetchText(`http://${host}:${port}/peerjs/id`)).text).toMatch(/^[0-9a-f-]{36}$/)
        expect((await fetchText(`http://${host}:${port}/x`)).text).toBe('app /x')
        expect(await firstMessage(native(port, host))).toMatch(/^0\{"sid":/)
        expect(await firstMessage(peerjs(port, host))).toBe('{"type":"OPEN"}')
        await expect(firstMessage(`ws://${host}:${port}/nobody`)).rejects.toThrow('404')
      }
      // The same application on another port is not taken.
      const { port: other } = stranger.address() as AddressInfo
      expect((await fetchText(`http://127.0.0.1:${other}/peerjs/id`)).text).toBe('app /peerjs/id')
      await node.stop()
      for (const host of ['127.0.0.1', '127.0.0.2'])
        expect((await fetchText(`http://${host}:${port}/peerjs/id`)).text).toBe('app /peerjs/id')
      expect(second.listenerCount('upgrade')).toBe(1)
    },
  )

  test('the node can be below a path, with PeerJS at the same path or at another one', async () => {
    const server = createServer((request, response) => response.end(`app ${request.url}`))
    peerage({ path: '/tier' }).attach(server)
    peerage({ path: '/two/', peerjs: { path: '/calls' } }).attach(server)
    const port = await listening(server)
    const below = (path: string, url: string): string => url.replace(`:${port}/`, `:${port}${path}/`)
    for (const path of ['/tier', '/two'])
      expect(await firstMessage(below(path, native(port)))).toMatch(/^0\{"sid":/)
    for (const path of ['/tier', '/calls']) {
      expect(await firstMessage(below(path, peerjs(port)))).toBe('{"type":"OPEN"}')
      expect((await fetchText(`http://127.0.0.1:${port}${path}/peerjs/id`)).text).toMatch(/^[0-9a-f-]{36}$/)
    }
    for (const path of ['/', '/tier', '/tier/', '/peerjs/id', '/two/peerjs/id'])
      expect((await fetchText(`http://127.0.0.1:${port}${path}`)).text).toBe(`app ${path}`)
    expect((await fetchText(`http://127.0.0.1:${port}/calls`)).text).toContain('"name":"Peerage"')
    await expect(firstMessage(native(port))).rejects.toThrow('404')
  })

  test('two nodes at different paths each take their own upgrades, and others are answered once', async () => {
    const server = createServer()
    const [first, second] = [peerage(), peerage({ path: '/other' })]
    first.attach(server)
    second.attach(server)
    const port = await listening(server)
    expect(await firstMessage(native(port))).toMatch(/^0\{"sid":/)
    expect(await firstMessage(peerjs(port))).toBe('{"type":"OPEN"}')
    expect(await firstMessage(peerjs(port).replace('/peerjs', '/other/peerjs'))).toBe('{"type":"OPEN"}')
    const otherNative = native(port).replace('/peerage/', '/other/peerage/')
    expect(await firstMessage(otherNative)).toMatch(/^0\{"sid":/)
    const socket = await upgradeOnly(port, '/nobody')
    let answer = ''
    socket.on('data', (data) => (answer += String(data)))
    await once(socket, 'end')
    expect(answer.match(/HTTP\/1\.1 404 /g)).toHaveLength(1)
    await first.stop()
    expect(await firstMessage(otherNative)).toMatch(/^0\{"sid":/)
    await second.stop()
    expect(server.listenerCount('upgrade')).toBe(0)
  })

  test.each(['/', '/peerjs/id'])(
    'a GET of %s that offers an upgrade to h2c is answered as a request',
    async (path) => {
      const server = createServer((_, response) => response.end('app'))
      peerage().attach(server)
      const port = await listening(server)
      const ask = {
        port,
        path,
        agent: false,
        headers: { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c' },
      }
      const response = await new Promise<IncomingMessage>((resolve) => get(ask, resolve))
      expect(response.statusCode).toBe(200)
      let text = ''
      for await (const chunk of response) text += String(chunk)
      expect(text).toMatch(path === '/' ? /^app$/ : /^[0-9a-f-]{36}$/)
      // A client that does not end its half of the socket is closed.
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`)
      socket.resume()
      const [far] = (await once(server, 'connection')) as [Socket]
      await once(far, 'close')
      socket.destroy()
    },
  )

  test('an upgrade at an unknown path gets 404 if nobody else listens', async () => {
    const server = createServer()
    peerage().attach(server)
    const port = await listening(server)
    const socket = await upgradeOnly(port, '/nobody')
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toMatch(/^HTTP\/1\.1 404 /)
  })

  test('after stop the application’s server goes on without the node', async () => {
    const server = createServer((_, response) => response.end('app'))
    const node = peerage()
    node.attach(server)
    const port = await listening(server)
    await node.ready()
    expect(Object.hasOwn(server, 'emit')).toBe(true)
    expect(await firstMessage(peerjs(port))).toBe('{"type":"OPEN"}')
    await node.stop()
    expect(Object.hasOwn(server, 'emit')).toBe(false)
    expect(server.listenerCount('upgrade')).toBe(0)
    expect((await fetchText(`http://127.0.0.1:${port}/peerjs/id`)).text).toBe('app')
  })

  test('a stopped node does not start again', async () => {
    const server = createServer()
    const node = peerage()
    await node.stop()
    expect(() => node.attach(server)).toThrow('create a new one')
    await expect(node.listen()).rejects.toThrow('create a new one')
    await expect(node.ready()).rejects.toThrow('create a new one')
    expect(server.listenerCount('upgrade')).toBe(0)
  })

  test.each(['stop', 'drain'] as const)('a %s before the node is ready rejects ready', async (end) => {
    const { backend, start } = lateBackend()
    const node = peerage({ backend })
    const ready = node.ready()
    const ended = node[end]()
    start()
    await expect(ready).rejects.toThrow('this node was stopped before it was ready')
    await ended
  })

  test('a stop while the node begins to listen leaves nothing open', async () => {
    const tcp = await freePortPair()
    const node = peerage({ host: '127.0.0.1', port: tcp, useAsP2PServer: true })
    const begun = node.listen()
    await node.stop()
    await expect(begun).rejects.toThrow('create a new one')
    expect(await listening(createServer(), tcp)).toBe(tcp)
    const socket = await bindUdp('127.0.0.1', tcp + 1)
    socket.close()
  })

  test('after stop the application gets all requests, even if it wrapped the server’s emit after the node', async () => {
    const server = createServer((_, response) => response.end('app'))
    const node = peerage()
    node.attach(server)
    const ours: unknown = Reflect.get(server, 'emit')
    if (typeof ours !== 'function') throw new Error('no emit')
    const theirs = (...args: unknown[]): unknown => Reflect.apply(ours, server, args)
    Object.defineProperty(server, 'emit', { configurable: true, writable: true, value: theirs })
    const port = await listening(server)
    await node.ready()
    expect((await fetchText(`http://127.0.0.1:${port}/peerjs/id`)).text).toMatch(/^[0-9a-f-]{36}$/)
    await node.stop()
    expect((await fetchText(`http://127.0.0.1:${port}/peerjs/id`)).text).toBe('app')
  })

  test('after stop an earlier node goes on, and so does the application’s own wrapper of emit', async () => {
    const server = createServer((_, response) => response.end('app'))
    const [first, second] = [peerage({ path: '/a' }), peerage({ path: '/b' })]
    // Monitoring tools wrap `emit` like this.
    const emit = server.emit.bind(server)
    let counted = 0
    const theirs = (...args: unknown[]): unknown => {
      if (args[0] === 'request') counted++
      return Reflect.apply(emit, undefined, args)
    }
    Object.defineProperty(server, 'emit', { configurable: true, writable: true, value: theirs })
    first.attach(server)
    second.attach(server)
    const port = await listening(server)
    await Promise.all([first.ready(), second.ready()])
    await second.stop()
    expect(await firstMessage(native(port).replace('/peerage', '/a/peerage'))).toMatch(/^0\{"sid":/)
    expect((await fetchText(`http://127.0.0.1:${port}/b/peerjs/id`)).text).toBe('app')
    expect((await fetchText(`http://127.0.0.1:${port}/a/peerjs/id`)).text).toMatch(/^[0-9a-f-]{36}$/)
    expect(counted).toBe(1)
    await first.stop()
    expect(Reflect.get(server, 'emit')).toBe(theirs)
    expect((await fetchText(`http://127.0.0.1:${port}/a/peerjs/id`)).text).toBe('app')
    expect(counted).toBe(2)
  })
})

describe('useAsP2PServer', () => {
  test('answers STUN on UDP at TCP port + 1, until stop', async () => {
    const server = createServer()
    const node = peerage({ useAsP2PServer: true })
    node.attach(server)
    const port = await listening(server, await freePortPair())
    const socket = await bindUdp('127.0.0.1', 0)
    closers.push(() => void socket.close())
    // UDP is bound right after the TCP port. The query is retransmitted until then.
    const answer = await queryBinding({ socket, address: '127.0.0.1', port: port + 1, rtoMs: 100 })
    expect(answer).toMatchObject({ kind: 'answered', reflexive: { port: socket.address().port } })
    await node.stop()
    const again = createSocket('udp4')
    again.bind(port + 1, '127.0.0.1')
    await once(again, 'listening')
    again.close()
  })

  test('is off by default', async () => {
    const node = peerage({ port: 0 })
    expect(await node.listen()).toMatchObject({ p2p: null })
  })
})

describe('a P2P server next to an application’s server', () => {
  test('fails alone if that server has no TCP port', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'peerage-test-'))
    closers.push(() => rm(directory, { recursive: true }))
    const server = createServer((_, response) => response.end('the application'))
    closers.push(() => void server.close())
    const node = peerage({ useAsP2PServer: true }).attach(server)
    const path = join(directory, 'socket')
    server.listen(path)
    await once(server, 'listening')
    const [response] = (await once(get({ socketPath: path, agent: false }), 'response')) as [IncomingMessage]
    expect(response.resume().statusCode).toBe(200)
    expect(await node.metrics()).toContain('peerage_errors_total{stage="p2p server"} 1')
    // It does not throw either if the server listens already.
    const late = peerage({ useAsP2PServer: true, path: '/late' })
    expect(() => late.attach(server)).not.toThrow()
  })

  test('leaves no UDP port open when it is stopped right after the start', async () => {
    const port = await freePortPair()
    const server = createServer()
    await listening(server, port)
    const node = peerage({ useAsP2PServer: true }).attach(server)
    await node.stop()
    // The UDP port may still be taken for a moment.
    const udp = await untilBound(port + 1)
    udp.close()
  })
})

describe('listen', () => {
  test('with port 0 picks a free pair of ports, and returns where the node listens', async () => {
    const node = peerage({ port: 0, useAsP2PServer: true, admin: { port: 0 } })
    const { url, port, p2p, admin } = await node.listen()
    expect(p2p).toEqual({ port: port + 1 })
    await node.ready()
    expect((await fetchText(`${url}/readyz`)).status).toBe(200)
    const metrics = await fetchText(`${admin}/metrics`)
    expect(metrics.text).toContain('peerage_ready 1')
    expect(metrics.text).toContain('peerage_connections{gateway="native"} 0')
    expect((await fetchText(`${url}/metrics`)).status).toBe(404)
    expect((await fetchText(`${admin}/healthz`)).status).toBe(404)
  })

  test('returns the URL of the API, if an app has a key of it', async () => {
    const api = { keys: ['a-key-of-the-API-with-24-letters'] }
    const { url, ...main } = await peerage({ port: 0, api }).listen()
    expect(main.api).toBe(url)
    const own = await peerage({ port: 0, api: { ...api, port: 0 } }).listen()
    expect(own.api).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(own.api).not.toBe(own.url)
    expect(await peerage({ port: 0 }).listen()).toMatchObject({ api: null })
  })

  test('names a taken TCP port', async () => {
    const port = await listening()
    await expect(peerage({ port }).listen()).rejects.toThrow(`TCP port ${port} on 127.0.0.1 is taken`)
  })

  test('names a taken UDP port, and closes the TCP port', async () => {
    const port = await freePortPair()
    const blocker = await bindUdp('127.0.0.1', port + 1)
    closers.push(() => void blocker.close())
    const refused = peerage({ port, useAsP2PServer: true }).listen()
    await expect(refused).rejects.toThrow(
      `UDP port ${port + 1} on 127.0.0.1 (the P2P server's: TCP port + 1)`,
    )
    expect(await peerage({ port }).listen()).toMatchObject({ port, p2p: null })
  })

  test('goes on after an error of accept, such as too many open files, and reports it once', async () => {
    const servers = new Set<NetServer>()
    const took = (message: unknown): void => {
      const { socket } = message as { socket: Socket & { server?: NetServer } }
      if (socket.server) servers.add(socket.server)
    }
    diagnostics.subscribe('net.server.socket', took)
    closers.push(() => void diagnostics.unsubscribe('net.server.socket', took))
    const node = peerage({ port: 0, admin: { port: 0 } })
    const { url, admin } = await node.listen()
    for (const at of [`${url}/healthz`, `${admin}/metrics`]) await fetchText(at)
    expect(servers.size).toBe(2)
    // Clients that do not read a long answer are closed, too.
    for (const server of servers) expect(server).toMatchObject({ timeout: 10_000, headersTimeout: 10_000 })
    for (const server of servers) expect(() => server.emit('error', new Error('accept EMFILE'))).not.toThrow()
    const told = (await node.metrics()).matchAll(/^peerage_errors_total\{stage="(.*)"\} (\d+)$/gmu)
    expect([...told].map(([, stage, times]) => [stage, times])).toEqual([
      ['port', '1'],
      ['admin port', '1'],
    ])
  })

  test('is undone by stop even if one of its steps fails', async () => {
    const backend = memoryCluster().backend()
    backend.stop = () => Promise.reject(new Error('the store has its own ideas'))
    const node = peerage({ port: 0, admin: { port: 0 }, useAsP2PServer: true, backend })
    const { port, admin } = await node.listen()
    await node.ready()
    await node.stop()
    expect(await node.metrics()).toContain('peerage_errors_total{stage="stop"} 1')
    for (const taken of [port, Number(new URL(admin ?? '').port)])
      expect(await listening(createServer(), taken)).toBe(taken)
    const udp = await bindUdp('127.0.0.1', port + 1)
    udp.close()
  })

  test('is undone by stop even if a UDP socket does not close: the other one is closed, and the error reported', async () => {
    const rules = { admit: () => Promise.resolve({ ok: false, code: 'forbidden', detail: 'no' } as const) }
    // On `::` there is a second UDP socket for IPv4.
    const node = peerage({ port: 0, host: '::', useAsP2PServer: true, accessRules: rules })
    const { port } = await node.listen()
    const stuck: UdpSocket[] = []
    const close = vi.spyOn(UdpSocket.prototype, 'close').mockImplementationOnce(function (this: UdpSocket) {
      stuck.push(this)
      throw new Error('it does not close')
    })
    closers.push(() => close.mockRestore())
    await node.stop()
    expect(await node.metrics()).toContain('peerage_errors_total{stage="stop"} 1')
    expect(stuck.map((socket) => socket.address().address)).toEqual(['::'])
    const udp = await bindUdp('0.0.0.0', port + 1)
    for (const socket of [udp, ...stuck]) socket.close()
  })

  test('beyond loopback needs access rules or open', async () => {
    await expect(peerage({ host: '0.0.0.0', port: 0 }).listen()).rejects.toThrow(
      /^options: host is beyond loopback/,
    )
    const rules = { admit: () => Promise.resolve({ ok: false, code: 'forbidden', detail: 'no' } as const) }
    expect(await peerage({ host: '0.0.0.0', port: 0, accessRules: rules }).listen()).toHaveProperty('port')
  })
})

test('all wrong options are named', () => {
  expect(() => createPeerage({ port: -1, origins: ['x'], peerjs: { key: 'v1' } })).toThrow(
    /^options: port must .*; origins\.0 must .*; peerjs\.key must not be v1/,
  )
  expect(() => createPeerage({ times: { graceMs: 1 } })).toThrow(/^options: times\.graceMs must be at least/)
})

test('links need a store that several nodes can share: Redis, or a backend of the application', () => {
  const links = { host: '127.0.0.1' }
  expect(() => createPeerage({ links })).toThrow(/^options: links\.host needs redis\.url/)
  expect(() => createPeerage({ links, backend: memoryCluster().backend(), logger: silent })).not.toThrow()
  expect(() => createPeerage({ links: { port: 9_200 } })).toThrow(/^options: links\.port needs links\.host/)
})

test('links are counted if they are on', async () => {
  const backend = memoryCluster().backend()
  const line = 'peerage_link_switches_total{to="link",reason="busy"} 0\n'
  expect(await peerage({ backend, links: { host: '127.0.0.1' } }).metrics()).toContain(line)
  // Envelopes that the bus of the store could not decode are counted with links, too.
  const counting = { ...backend, malformed: 4 }
  expect(await peerage({ backend: counting, links: { host: '127.0.0.1' } }).metrics()).toContain(
    'peerage_bus_envelopes_total{direction="malformed"} 4\n',
  )
})

test.each<[unknown, RegExp]>([
  [null, /^options must be an object of settings, .*; it is null$/],
  ['redis://h', /; it is a string$/],
  [[], /; it is a list$/],
  [{ prot: 1 }, /^options: prot is not an option; did you mean port\?$/],
  [{ redisUrl: 'redis://h' }, /redisUrl is not an option; did you mean redis\.url\?/],
  [{ accesRules: {} }, /did you mean accessRules\?/],
  [
    { accesRules: {}, accessRules: {}, path: 'peers', links: { port: 1 }, redis: 5 },
    /^options: accessRules must .*; accesRules is not an option; did you mean accessRules\?; redis must be an object .*; path must begin with \/.*; it is "peers"; links\.port needs links\.host/,
  ],
  [{ port: '9000' }, /^options: port must be a whole number from 0 to 65535; it is "9000"$/],
  [
    { origins: 'https://a.example' },
    /^options: origins must be a list, such as \[https:\/\/app\.example\]; it is "https:\/\/a\.example"$/,
  ],
  [
    { port: () => 1, path: {}, page: Number.NaN },
    /port .*; it is a function; .*it is an object; .*it is NaN$/,
  ],
  [{ redis: { url: 'localhost:6379' } }, /redis\.url must .*; did you mean redis:\/\/localhost:6379\?$/],
  [{ access: { key: 'short' } }, /^options: access\.key must be at least 16 characters$/],
  [{ peerjs: { pth: '/' } }, /^options: peerjs\.pth is not an option; did you mean peerjs\.path\?$/],
  [{ redis: 'redis://h' }, /^options: redis must be an object of settings such as \{ url: … \}$/],
  [{ p2p: 'h:1' }, /^options: p2p must be an object of settings/],
  [
    { accessRules: () => ({ ok: true }) },
    /^options: accessRules must be an object with admit\(\); it is a function: write accessRules: \{ admit: … \}$/,
  ],
  [{ accessRules: 'secret' }, /accessRules must be an object with admit\(\); it is a string$/],
  [{ accessRules: { allow: () => true } }, /accessRules .*, but it has no admit\(\)$/],
  [{ accessRules: null }, /; it is null$/],
  [
    { logger: console.log, onPeer: {} },
    /logger must .* it is a function; onPeer must be a function; it is an object$/,
  ],
])('createPeerage(%j) names the mistake', (options, says) => {
  expect(() => createPeerage(options as PeerageOptions)).toThrow(says)
})

test.each<[string, unknown, RegExp]>([
  ['nothing', undefined, /^attach takes a Node HTTP server: .*This is undefined$/],
  ['null', null, /This is null$/],
  ['a port', 8080, /This is a number$/],
  [
    'an Express app',
    Object.assign(() => {}, { listen: () => {} }),
    /such as an Express app: pass createServer\(app\)/,
  ],
  ['a Koa app', { callback: () => () => {} }, /pass createServer\(app\.callback\(\)\)/],
  ['Fastify', { server: createServer() }, /pass its \.server$/],
  ['hapi', { listener: createServer() }, /pass its \.listener$/],
  ['Vite', { httpServer: createServer() }, /pass its \.httpServer$/],
])('attach with %s says what to pass', (_, server, says) => {
  expect(() => peerage().attach(server as Server)).toThrow(says)
})

// Once, two nodes at one path were no error: one node took everything, and the other one got nothing.
describe('two nodes on one server of this process', () => {
  test('a node that is attached twice throws, and works on', async () => {
    const server = createServer()
    const node = peerage().attach(server)
    expect(() => node.attach(server)).toThrow('this node is attached to this server already: attach it once')
    const port = await listening(server)
    expect(await firstMessage(native(port))).toMatch(/^0\{"sid":/)
  })

  test.each([
    [{}, '/peerage/', 'path'],
    [{ path: '/other', peerjs: { path: '/' } }, '/peerjs', 'peerjs.path'],
  ])('a second node at the same path throws: %j', (options, path, setting) => {
    const server = createServer()
    peerage().attach(server)
    expect(() => peerage(options).attach(server)).toThrow(
      `another node of this process uses ${path} of this server already: attach only one node to a server, or give this one another ${setting}`,
    )
  })

  test('both work at different paths, or once the first one has begun to drain', async () => {
    const server = createServer()
    const first = peerage().attach(server)
    peerage({ path: '/other' }).attach(server)
    const port = await listening(server)
    expect(await firstMessage(native(port))).toMatch(/^0/)
    expect(await firstMessage(`ws://127.0.0.1:${port}/other/peerage/?EIO=4&transport=websocket`)).toMatch(
      /^0/,
    )
    const drained = first.drain()
    peerage().attach(server)
    await drained
    expect(await firstMessage(native(port))).toMatch(/^0/)
    expect(() => peerage().attach(server)).toThrow('another node of this process uses /peerage/')
  })
})

describe('the readiness of an attached node', () => {
  test('is starting right after attach, and ready even before its server listens', async () => {
    const server = createServer()
    const node = peerage().attach(server)
    expect(node.readiness()).toMatchObject({ ready: false, reason: 'starting' })
    await node.ready()
    await listening(server)
    expect(node.readiness()).toEqual({ ready: true })
  })

  test('is port while its server cannot listen, and the application still gets the error', async () => {
    const taken = await listening()
    const server = createServer()
    const node = peerage().attach(server)
    const error = once(server, 'error')
    server.listen(taken, '127.0.0.1')
    expect(await error).toMatchObject([{ code: 'EADDRINUSE' }])
    const why = /the HTTP server that this node is attached to does not listen: listen EADDRINUSE/
    await expect(node.ready()).rejects.toThrow(why)
    expect(node.readiness()).toEqual({ ready: false, reason: 'port', why: expect.stringMatching(why) })
    expect(() => server.emit('error', new Error('nobody else listens'))).toThrow('nobody else listens')
    await listening(server)
    await node.ready()
    expect(node.readiness()).toEqual({ ready: true })
  })
})

test('pages of an app in a shell come in by their origin, and other origins do not', async () => {
  const node = peerage({ port: 0, origins: ['capacitor://localhost', 'chrome-extension://abc'] })
  const { port } = await node.listen()
  await node.ready()
  const from = (origin: string, url: string): Promise<unknown> => {
    const socket = new WebSocket(url, { origin })
    closers.push(() => socket.terminate())
    return new Promise((resolve, reject) => socket.on('message', resolve).on('error', reject))
  }
  for (const origin of ['capacitor://localhost', 'chrome-extension://abc'])
    expect(String(await from(origin, native(port)))).toMatch(/^0\{"sid":/)
  expect(String(await from('capacitor://localhost', peerjs(port)))).toBe('{"type":"OPEN"}')
  for (const origin of ['capacitor://localhost.evil', 'chrome-extension://abcd', 'null', 'https://localhost'])
    await expect(from(origin, native(port))).rejects.toThrow('403')
})

test('the access rules of the application are asked, and decide', async () => {
  const asked: unknown[] = []
  const node = peerage({
    port: 0,
    accessRules: {
      admit: (request) => {
        asked.push(request)
        return Promise.resolve({ ok: false, code: 'forbidden', detail: 'not today' })
      },
    },
  })
  const { port } = await node.listen()
  await node.ready()
  expect(await firstMessage(peerjs(port))).toMatch(/^\{"type":"ERROR"/)
  expect(asked).toContainEqual(
    expect.objectContaining({ name: 'a', wire: 'peerjs', token: 't', address: '127.0.0.1' }),
  )
})

test('a refused access is a line of the log, without the name and the token', async () => {
  const lines: string[] = []
  const logger = pino({ base: null }, { write: (line: string) => void lines.push(line) })
  const node = peerage({ port: 0, access: { key: 'a-shared-key-of-16' }, logger })
  const { port } = await node.listen()
  await node.ready()
  const answer = await firstMessage(`ws://127.0.0.1:${port}/peerjs?key=wrong&id=alice&token=geheim`)
  expect(answer).toContain('Invalid key provided')
  const refused = lines.filter((line) => line.includes('"refused"'))
  expect(refused.map((line): unknown => JSON.parse(line))).toEqual([
    expect.objectContaining({ wire: 'peerjs', code: 'forbidden', why: 'Invalid key provided' }),
  ])
  expect(refused.join('')).not.toMatch(/alice|geheim|wrong/)
})

test('attach warns of settings that only listen uses', async () => {
  const warnings = async (options: PeerageOptions, act: (node: Peerage) => unknown): Promise<unknown[]> => {
    const lines: string[] = []
    const node = peerage({ logger: pino({}, { write: (line) => void lines.push(line) }), ...options })
    await act(node)
    return lines
      .map((line): unknown => JSON.parse(line))
      .filter((line) => JSON.stringify(line).includes('does not use'))
  }
  const attach = (node: Peerage): unknown => node.attach(createServer()).attach(createServer())
  const all: PeerageOptions = {
    host: '127.0.0.1',
    port: 0,
    page: true,
    tls: { cert: 'c.pem', key: 'k.pem' },
    admin: { port: 0 },
  }
  expect(await warnings(all, attach)).toEqual([
    expect.objectContaining({ level: 40, settings: ['host', 'port', 'page', 'tls.cert', 'admin.port'] }),
  ])
  expect(await warnings({ page: false, admin: {}, path: '/peers' }, attach)).toEqual([])
  expect(await warnings({ port: 0 }, (node) => node.listen().then(() => attach(node)))).toEqual([])
})

test('errors of an embedded node name settings, and no flags', async () => {
  const taken = await listening()
  await expect(peerage({ port: taken }).listen()).rejects.toThrow(/end it or change port$/)
  await expect(peerage({ port: 0, host: '0.0.0.0' }).listen()).rejects.toThrow(
    /: set accessRules, access\.key or origins, or open if anybody may$/,
  )
})

describe('apps of an embedded node', () => {
  const KEY = 'a-shared-key-of-16'
  /** The first frame of a PeerJS client with this key. */
  const opens = async (port: number, key: string, id: string): Promise<string> =>
    firstMessage(`ws://127.0.0.1:${port}/peerjs?key=${key}&id=${id}&token=t`)

  test('have rules of their own, and reload changes them while peers stay', async () => {
    const lines: string[] = []
    const logger = pino({ base: null }, { write: (line: string) => void lines.push(line) })
    const node = peerage({
      port: 0,
      defaultApp: 'chat',
      apps: { chat: {}, games: { access: { key: KEY } } },
      logger,
    })
    const { port } = await node.listen()
    await node.ready()
    expect(await opens(port, KEY, 'a')).toBe('{"type":"OPEN"}')
    expect(await opens(port, 'new-key', 'b')).toContain('Invalid key provided')
    node.reload({ apps: { chat: { peerjsKeys: ['new-key'] }, games: { access: { key: KEY } } }, port: 1 })
    expect(await opens(port, 'new-key', 'b')).toBe('{"type":"OPEN"}')
    expect(await node.metrics()).toContain('peerage_app_connections{app="games"} 1')
    const said = lines.map((line): unknown => JSON.parse(line))
    expect(said).toContainEqual(expect.objectContaining({ msg: 'reloaded', changed: ['apps.chat'] }))
    expect(said).toContainEqual(
      expect.objectContaining({
        msg: 'these settings have changed and need a restart',
        settings: ['port'],
      }),
    )
    // What is not passed stays, so the next reload does not end the apps.
    node.reload({ taken: 'replace' })
    expect(await opens(port, 'new-key', 'c')).toBe('{"type":"OPEN"}')
  })

  test('stay as they were if reload gets a mistake, which it names', async () => {
    const node = peerage({ port: 0, defaultApp: 'chat', apps: { chat: { peerjsKeys: ['one'] } } })
    const { port } = await node.listen()
    await node.ready()
    const wrong: unknown = { apps: { chat: { access: { mode: 'lock' } }, games: { origin: [] } } }
    expect(() => node.reload(wrong as PeerageOptions)).toThrow(
      new TypeError(
        'options: apps.games.origin is not an option; did you mean apps.games.origins?; apps.chat.access.mode must be one of open, key, token, webhook; it is "lock"',
      ),
    )
    expect(() => node.reload({ apps: { games: {} } })).toThrow(
      'defaultApp is chat, and must be one of apps (games): set it to the app of peers that name none',
    )
    expect(await opens(port, 'one', 'a')).toBe('{"type":"OPEN"}')
    expect(await node.metrics()).toContain('peerage_reloads_total{result="failed"} 2')
  })

  test('cannot be opened to everybody by reload, if the node listens beyond loopback', async () => {
    const node = peerage({ port: 0, host: '0.0.0.0', access: { key: KEY } })
    await node.listen()
    expect(() => node.reload({ access: {} })).toThrow(/^options: host is beyond loopback, and no rule says/)
    node.reload({ access: {}, open: true })
  })

  test('are served only if they are listed, also if the rules of the application choose them', async () => {
    const accessRules = { admit: () => ({ ok: true, app: 'other' }) as const }
    const node = peerage({ port: 0, apps: { default: {} }, accessRules })
    const { port } = await node.listen()
    await node.ready()
    expect(await opens(port, 'peerjs', 'a')).toContain('"ERROR"')
    node.reload({ apps: { default: {}, other: {} } })
    expect(await opens(port, 'peerjs', 'a')).toBe('{"type":"OPEN"}')
  })
})
