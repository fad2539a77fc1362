import { createSocket, Socket as UdpSocket } from 'node:dgram'
import diagnostics from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type AddressInfo, type Server as NetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryCluster } from '@peerage/core'
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

async function untilBound(port: number): Promise<UdpSocket> {
  for (;;) {
    try {
      return await bindUdp('127.0.0.1', port)
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 5)) // taken still; the test's own time is the deadline
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
  test('both wires come in, and everything else is the application’s', async () => {
    const server = createServer((request, response) => response.end(`app ${request.url}`))
    peerage().attach(server)
    const port = await listening(server)
    expect(await firstMessage(native(port))).toMatch(/^0\{"sid":/)
    expect(await firstMessage(peerjs(port))).toBe('{"type":"OPEN"}')
    for (const path of ['/', '/healthz', '/readyz', '/version', '/users/id', '/peerage'])
      expect((await fetchText(`http://127.0.0.1:${port}${path}`)).text).toBe(`app ${path}`)
    expect((await fetchText(`http://127.0.0.1:${port}/peerjs/id`)).text).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('it does not matter who came first, nor that another one takes over the request listeners', async () => {
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

  test('a neighbour that takes its time over an upgrade is neither answered for nor hung up', async () => {
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
    // As much of ours as there is passes meanwhile.
    expect(await firstMessage(native(port))).toMatch(/^0/)
    goOn()
    expect(await message).toBe('at last')
  })

  test.each([
    ['before', undefined],
    ['before', '/app'],
    ['after', undefined],
    ['after', '/app'],
  ])('a ws server of the application that came %s us, for the path %s', async (when, path) => {
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
    'socket.io that came %s us hangs up on what is nobody’s, never on ours',
    async (when) => {
      const server = createServer()
      const theirs = (): void => {
        const io = new SocketIo(server, { destroyUpgradeTimeout: 1 })
        closers.push(() => void io.engine.close())
      }
      if (when === 'before') theirs()
      peerage().attach(server)
      if (when === 'after') theirs()
      // Whoever puts itself first is second to us all the same.
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

  test('an application that removes every upgrade listener leaves the node its upgrades', async () => {
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

  // As Fastify does on `localhost`, with a second server that it shows to nobody.
  test.each(['before', 'after'])('attached %s it listens, also on the second address', async (when) => {
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
    // The same application on another port is another service.
    const { port: other } = stranger.address() as AddressInfo
    expect((await fetchText(`http://127.0.0.1:${other}/peerjs/id`)).text).toBe('app /peerjs/id')
    await node.stop()
    for (const host of ['127.0.0.1', '127.0.0.2'])
      expect((await fetchText(`http://${host}:${port}/peerjs/id`)).text).toBe('app /peerjs/id')
    expect(second.listenerCount('upgrade')).toBe(1)
  })

  test('below a path of the application, PeerJS there too or at a path of its own', async () => {
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

  test('beside another node: each has what is its own, and the rest is answered once', async () => {
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
    'a GET of %s that would rather speak h2c is a request all the same',
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
      // Who does not end its half is ended.
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`)
      socket.resume()
      const [far] = (await once(server, 'connection')) as [Socket]
      await once(far, 'close')
      socket.destroy()
    },
  )

  test('an upgrade that nobody wants is answered when there is nobody else', async () => {
    const server = createServer()
    peerage().attach(server)
    const port = await listening(server)
    const socket = await upgradeOnly(port, '/nobody')
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toMatch(/^HTTP\/1\.1 404 /)
  })

  test('after stop the application’s server goes on without it', async () => {
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

  test('after stop it does not start again', async () => {
    const server = createServer()
    const node = peerage()
    await node.stop()
    expect(() => node.attach(server)).toThrow('make another one')
    await expect(node.listen()).rejects.toThrow('make another one')
    expect(server.listenerCount('upgrade')).toBe(0)
  })

  test('a stop while it begins to listen leaves nothing open', async () => {
    const tcp = await freePortPair()
    const node = peerage({ host: '127.0.0.1', port: tcp, useAsP2PServer: true })
    const begun = node.listen()
    await node.stop()
    await expect(begun).rejects.toThrow('make another one')
    expect(await listening(createServer(), tcp)).toBe(tcp)
    const socket = await bindUdp('127.0.0.1', tcp + 1)
    socket.close()
  })

  test('after stop it is out of the way also where somebody wrapped the server’s events after it', async () => {
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

  test('after stop the node that came before it goes on, and so does an application’s own way of events', async () => {
    const server = createServer((_, response) => response.end('app'))
    const [first, second] = [peerage({ path: '/a' }), peerage({ path: '/b' })]
    // As what measures an application does.
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
    // Bound right after the TCP port: the query's retransmissions wait for it.
    const answer = await queryBinding({ socket, address: '127.0.0.1', port: port + 1, rtoMs: 100 })
    expect(answer).toMatchObject({ kind: 'answered', reflexive: { port: socket.address().port } })
    await node.stop()
    const again = createSocket('udp4')
    again.bind(port + 1, '127.0.0.1')
    await once(again, 'listening') // free again
    again.close()
  })

  test('is off unless asked for', async () => {
    const node = peerage({ port: 0 })
    expect(await node.listen()).toMatchObject({ p2p: null })
  })
})

describe('a P2P server beside an application’s', () => {
  test('on a server without a TCP port it fails alone: the application lives', async () => {
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
    // Nor does it throw where the server listens already.
    const late = peerage({ useAsP2PServer: true, path: '/late' })
    expect(() => late.attach(server)).not.toThrow()
  })

  test('a stop right after the start leaves no UDP port', async () => {
    const port = await freePortPair()
    const server = createServer()
    await listening(server, port)
    const node = peerage({ useAsP2PServer: true }).attach(server)
    await node.stop()
    // The port of before is taken until it is closed, and then given back.
    const udp = await untilBound(port + 1)
    udp.close()
  })
})

describe('listening by itself', () => {
  test('port 0 finds a pair; what it says is where it is', async () => {
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

  test('a taken TCP port, and a taken UDP neighbour, are named', async () => {
    const port = await listening()
    await expect(peerage({ port }).listen()).rejects.toThrow(`TCP port ${port} on 127.0.0.1 is taken`)
  })

  test('a taken UDP neighbour is named, and the TCP port is given back', async () => {
    const port = await freePortPair()
    const blocker = await bindUdp('127.0.0.1', port + 1)
    closers.push(() => void blocker.close())
    const refused = peerage({ port, useAsP2PServer: true }).listen()
    await expect(refused).rejects.toThrow(
      `UDP port ${port + 1} on 127.0.0.1 (the P2P server's: TCP port + 1)`,
    )
    expect(await peerage({ port }).listen()).toMatchObject({ port, p2p: null })
  })

  test('a port that cannot accept for a while, as with too many open files, is told once and goes on', async () => {
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
    // Who does not read a long answer is ended, too.
    for (const server of servers) expect(server).toMatchObject({ timeout: 10_000, headersTimeout: 10_000 })
    for (const server of servers) expect(() => server.emit('error', new Error('accept EMFILE'))).not.toThrow()
    const told = (await node.metrics()).matchAll(/^peerage_errors_total\{stage="(.*)"\} (\d+)$/gmu)
    expect([...told].map(([, stage, times]) => [stage, times])).toEqual([
      ['port', '1'],
      ['admin port', '1'],
    ])
  })

  test('a stop goes on where one of its steps fails: the ports are given back', async () => {
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

  test('a stop goes on where a socket does not close: the other one is closed, and the error told', async () => {
    const rules = { admit: () => Promise.resolve({ ok: false, code: 'forbidden', detail: 'no' } as const) }
    // `::` has a second UDP socket, for IPv4.
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
    const udp = await bindUdp('0.0.0.0', port + 1) // free again
    for (const socket of [udp, ...stuck]) socket.close()
  })

  test('beyond loopback it wants rules, or open', async () => {
    await expect(peerage({ host: '0.0.0.0', port: 0 }).listen()).rejects.toThrow(
      /^options: host is beyond loopback/,
    )
    const rules = { admit: () => Promise.resolve({ ok: false, code: 'forbidden', detail: 'no' } as const) }
    expect(await peerage({ host: '0.0.0.0', port: 0, accessRules: rules }).listen()).toHaveProperty('port')
  })
})

test('options that are wrong are named, all of them', () => {
  expect(() => createPeerage({ port: -1, origins: ['x'], peerjs: { key: 'v1' } })).toThrow(
    /^options: port must .*; origins\.0 must .*; peerjs\.key must not be v1/,
  )
  expect(() => createPeerage({ times: { graceMs: 1 } })).toThrow(/^options: times\.graceMs must be at least/)
})

test('links need a store that several nodes can share: Redis, or one of the application’s own', () => {
  const links = { host: '127.0.0.1' }
  expect(() => createPeerage({ links })).toThrow(/^options: links\.host needs redis\.url/)
  expect(() => createPeerage({ links, backend: memoryCluster().backend(), logger: silent })).not.toThrow()
  expect(() => createPeerage({ links: { port: 9_200 } })).toThrow(/^options: links\.port needs links\.host/)
})

test('links are counted where they are on', async () => {
  const backend = memoryCluster().backend()
  const line = 'peerage_link_switches_total{to="link",reason="busy"} 0\n'
  expect(await peerage({ backend, links: { host: '127.0.0.1' } }).metrics()).toContain(line)
  // What the store's own bus could not decode is counted below links, too.
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
  [{ peerjs: { pth: '/' } }, /^options: peerjs\.pth is not an option; did you mean peerjs\.path\?$/],
  [{ redis: 'redis://h' }, /^options: redis must be an object of settings such as \{ url: … \}$/],
  [{ p2p: 'h:1' }, /^options: p2p must be an object of settings/],
  [
    { accessRules: () => ({ ok: true }) },
    /^options: accessRules must be an object with admit\(\); it is a function: write accessRules: \{ admit: … \}$/,
  ],
  [{ accessRules: 'secret' }, /accessRules must be an object with admit\(\); it is a string$/],
  [{ accessRules: { allow: () => true } }, /accessRules .*; it has no admit\(\)$/],
  [{ accessRules: null }, /; it is null$/],
  [
    { logger: console.log, onPeer: {} },
    /logger must .* it is a function; onPeer must be a function; it is an object$/,
  ],
])('createPeerage(%j) says what is wrong', (options, says) => {
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

// Before, it was no error: one node took everything, and the other one heard nothing.
describe('two nodes on one server of this process', () => {
  test('one node attached twice to a server is an error, which changes nothing', async () => {
    const server = createServer()
    const node = peerage().attach(server)
    expect(() => node.attach(server)).toThrow('this node is attached to this server already: attach it once')
    const port = await listening(server)
    expect(await firstMessage(native(port))).toMatch(/^0\{"sid":/)
  })

  test.each([
    [{}, '/peerage/', 'path'],
    [{ path: '/other', peerjs: { path: '/' } }, '/peerjs', 'peerjs.path'],
  ])('a second one at the same path is an error: %j', (options, path, setting) => {
    const server = createServer()
    peerage().attach(server)
    expect(() => peerage(options).attach(server)).toThrow(
      `another node of this process takes ${path} of this server already: attach one node to a server, or give this one another ${setting}`,
    )
  })

  test('at different paths, or once the first has begun to end, both are right', async () => {
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
    expect(() => peerage().attach(server)).toThrow('another node of this process takes /peerage/')
  })
})

describe('what an attached node says of itself', () => {
  test('right after attach it is starting; then ready, before its server listens', async () => {
    const server = createServer()
    const node = peerage().attach(server)
    expect(node.readiness()).toMatchObject({ ready: false, reason: 'starting' })
    await node.ready()
    await listening(server)
    expect(node.readiness()).toEqual({ ready: true })
  })

  test('a server that cannot listen is not ready, until it does; its error stays the application’s', async () => {
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

test('pages of an app in a shell come in by their origin, and others do not', async () => {
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

test('an access rule of the application is asked, and its word is final', async () => {
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
