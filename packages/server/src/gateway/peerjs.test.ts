import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import type { Backend, Connection, Message, Registry } from '@peerage/core'
import { Node, defaultTimes, memoryCluster, systemClock } from '@peerage/core'
import { fakeClock, type FakeClock } from '@peerage/core/testing'
import type { App, Peer } from '@peerage/protocol'
import { parseApp, parseConnectionId, parsePeer } from '@peerage/protocol'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { PeerJsPeer, candidate, offer } from '../../../../test/support/peerjs.js'
import { staticAccess } from '../access.js'
import { Addresses } from '../address.js'
import type { LimitValues } from '../limits.js'
import { Limits } from '../limits.js'
import type { PeerJsGateway, PeerJsGatewayOptions } from './peerjs.js'
import { createPeerJsGateway } from './peerjs.js'

const unlimited: LimitValues = {
  connection: { messagesPerSecond: 0, bytesPerSecond: 0, lookupsPerSecond: 0 },
  name: { messagesPerSecond: 0, failuresPerMinute: 0 },
  address: { connections: 0, connectsPerSecond: 0, lookupsPerSecond: 0, failuresPerMinute: 0 },
  node: { connections: 0, connectsPerSecond: 0 },
}
const closers: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

function appOf(text: string): App {
  const app = parseApp(text)
  if (!app.ok) throw new Error(app.problem)
  return app.value
}

function peerOf(text: string): Peer {
  const peer = parsePeer(text)
  if (!peer.ok) throw new Error(peer.problem)
  return peer.value
}

interface House {
  url: string
  server: Server
  node: Node
  gateway: PeerJsGateway
  clock: FakeClock
  seen: string[]
  logs: { event: string; details: Record<string, unknown> }[]
  join(id: string, token?: string): Promise<PeerJsPeer>
}

interface HouseOptions extends Partial<PeerJsGatewayOptions> {
  limitValues?: LimitValues
  wrap?: (backend: Backend) => Backend
  cluster?: ReturnType<typeof memoryCluster>
  accessKey?: string
}

/** A node with only this wire, on a clock that stands still until a test moves it. */
async function house(more: HouseOptions = {}): Promise<House> {
  const { limitValues = unlimited, wrap = (backend: Backend) => backend, accessKey = null, ...options } = more
  const clock = fakeClock()
  const cluster = more.cluster ?? memoryCluster({ clock })
  const seen: string[] = []
  const logs: House['logs'] = []
  const onError = (error: unknown, { stage }: { stage: string }): void => {
    seen.push(`error ${stage} ${String(error)}`)
  }
  const node = new Node({
    backend: wrap(cluster.backend({ onError })),
    times: defaultTimes,
    clock,
    claimMs: 10_000,
    mailboxMs: 5_000,
    onError,
    onEvent: () => {},
  })
  await node.start()
  const gateway = createPeerJsGateway({
    node,
    clock,
    access: staticAccess({
      defaultApp: appOf('default'),
      apps: [],
      origins: more.origins ?? [],
      key: accessKey,
    }),
    sharedKey: accessKey,
    origins: [],
    addresses: new Addresses([]),
    limits: new Limits(limitValues, clock),
    metrics: {
      connected: () => {},
      registered: (_, result) => seen.push(`registered ${result}`),
      routed: (_, kind, result) => seen.push(`${kind} ${result}`),
      rejected: (_, reason) => seen.push(`rejected ${reason}`),
      closed: (_, reason) => seen.push(`closed ${reason}`),
      handshake: () => {},
    },
    log: (event, details) => logs.push({ event, details }),
    path: '/',
    key: 'peerjs',
    concurrentLimit: 5_000,
    allowDiscovery: false,
    aliveMs: 90_000,
    cors: [],
    frameBytes: 65_536,
    bufferedBytes: 262_144,
    pingIntervalMs: 10_000,
    pingTimeoutMs: 5_000,
    policy: () => 'refuse',
    onError,
    ...options,
  })
  await gateway.start()
  const server = createServer((request, response) => {
    if (gateway.handleRequest(request, response)) return
    response.statusCode = 404
    response.end('the application')
  })
  server.on('upgrade', (request, socket, head) => {
    gateway.handleUpgrade(request, socket, head)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  closers.push(async () => {
    await gateway.stop()
    await node.stop()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const join = async (id: string, token?: string): Promise<PeerJsPeer> => {
    const peer = await PeerJsPeer.open(token === undefined ? { url, id } : { url, id, token })
    closers.push(() => peer.cut())
    return peer
  }
  return { url, server, node, gateway, clock, seen, logs, join }
}

/** The same registry, but for some of its methods. */
function registryWith(registry: Registry, others: Partial<Registry>): Registry {
  return {
    claim: (peer, owner, options) => registry.claim(peer, owner, options),
    renew: (leases) => registry.renew(leases),
    reassert: (leases, former) => registry.reassert(leases, former),
    suspend: (lease, ms) => registry.suspend(lease, ms),
    release: (lease) => registry.release(lease),
    lookup: (peer) => registry.lookup(peer),
    ...others,
  }
}

/** Waits for what happens between sockets, which no peer can see. */
async function eventually(what: string, holds: () => boolean): Promise<void> {
  const deadline = systemClock.monotonic() + 5_000
  while (!holds()) {
    if (systemClock.monotonic() > deadline) throw new Error(`not ${what} in time`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** An id that waits for the time of the retries against a late release. */
async function takenAnswer(home: House, peer: PeerJsPeer): Promise<void> {
  while (!peer.frames.some((frame) => frame.includes('ID-TAKEN'))) {
    await home.clock.advance(50)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

describe('arriving', () => {
  test('[P1] only the exact path is ours; other upgrades are left to whoever owns them', async () => {
    const home = await house({ path: '/app' })
    const asked: string[] = []
    home.server.on('upgrade', (request, socket) => {
      if (request.url?.startsWith('/app/peerjs?')) return
      asked.push(request.url ?? '')
      socket.end('HTTP/1.1 418 Mine\r\nConnection: close\r\n\r\n')
    })
    for (const path of ['/peerjs', '/app/peerjs/', '/app/peerjsx', '/app', '/app/PEERJS', '/peerage/']) {
      const socket = new WebSocket(`${home.url.replace('http', 'ws')}${path}?key=peerjs&id=a&token=t`)
      const [error] = (await once(socket, 'error')) as [Error]
      expect(error.message).toContain('418')
    }
    expect(asked).toHaveLength(6)
    await PeerJsPeer.open({ url: home.url, id: 'a', path: '/app' }).then((peer) => peer.cut())
  })

  test('[P3] what is missing is said, and the close carries no code', async () => {
    const home = await house()
    const text = '{"type":"ERROR","payload":{"msg":"No id, token, or key supplied to websocket server"}}'
    for (const query of ['', 'id=a&token=t', 'key=peerjs&token=t', 'key=peerjs&id=a&token=']) {
      const peer = new PeerJsPeer({ url: home.url, id: 'a', query })
      expect(await peer.ended()).toEqual({ code: 1005, reason: '' })
      expect(peer.frames).toEqual([text])
    }
  })

  test('[P2] a key that is not served is refused; any key, or a mapping, where it is so configured', async () => {
    const one = await house()
    const wrong = new PeerJsPeer({ url: one.url, id: 'a', key: 'other' })
    expect(await wrong.ended()).toMatchObject({ code: 1005 })
    expect(wrong.frames).toEqual(['{"type":"ERROR","payload":{"msg":"Invalid key provided"}}'])

    const any = await house({ key: '*' })
    for (const key of ['peerjs', 'other', 'constructor']) {
      const peer = await PeerJsPeer.open({ url: any.url, id: `a-${key}`, key })
      await peer.cut()
    }
    for (const key of ['v1', 'peerage']) {
      const peer = new PeerJsPeer({ url: any.url, id: 'a', key })
      await peer.ended()
      expect(peer.frames[0]).toContain('Invalid key provided')
    }

    const mapped = await house({ key: { red: appOf('red'), blue: appOf('blue') } })
    const red = await PeerJsPeer.open({ url: mapped.url, id: 'same', key: 'red' })
    const blue = await PeerJsPeer.open({ url: mapped.url, id: 'same', key: 'blue' })
    expect([...mapped.node.sessions.allOnline()].map(({ peer }) => peer)).toEqual(['red/same', 'blue/same'])
    const neither = new PeerJsPeer({ url: mapped.url, id: 'same', key: 'toString' })
    await neither.ended()
    expect(neither.frames[0]).toContain('Invalid key provided')
    await Promise.all([red.cut(), blue.cut()])
  })

  test('[P4] a new id gets OPEN, whatever printable characters it is made of', async () => {
    const home = await house()
    for (const id of ['a', 'A-b_c d', 'ä€😀', '/../x?y#z&k=v', '__proto__', 'x'.repeat(128), '1']) {
      const peer = await home.join(id)
      expect(peer.frames).toEqual(['{"type":"OPEN"}'])
    }
  })

  test('[P4] an id outside the grammar of names is refused', async () => {
    const home = await house()
    for (const id of ['x'.repeat(129), 'a\0b', 'a\nb', '\u202e', '€'.repeat(43)]) {
      const peer = new PeerJsPeer({ url: home.url, id })
      await peer.ended()
      expect(peer.frames[0]).toMatch(/^{"type":"ERROR","payload":{"msg":"Invalid id provided: /)
    }
  })

  test('[P5] an id that another token holds is taken', async () => {
    const home = await house()
    const first = await home.join('a')
    const second = new PeerJsPeer({ url: home.url, id: 'a' })
    await takenAnswer(home, second)
    expect(await second.ended()).toMatchObject({ code: 1005 })
    expect(second.frames).toEqual(['{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}'])
    expect(first.end).toBeUndefined()
  })

  test('[P5] an id whose holder leaves while it is being claimed is not taken', async () => {
    const home = await house()
    const first = await home.join('a')
    const second = new PeerJsPeer({ url: home.url, id: 'a' })
    await eventually('refused once', () => home.gateway.connections === 2)
    await first.close(1001)
    await eventually('left', () => home.gateway.connections === 1)
    await home.clock.advance(200)
    await second.next('OPEN')
    await second.cut()
  })

  test('[P4] the same id with the same token is a resume: OPEN, and the old socket is closed [I8]', async () => {
    const home = await house()
    const old = await home.join('a', 'secret')
    const other = await home.join('b')
    const fresh = await home.join('a', 'secret')
    expect(await old.ended()).toMatchObject({ code: 4500 })
    other.send(offer('a'))
    await fresh.next('OFFER')
    expect(old.frames).toEqual(['{"type":"OPEN"}'])
    fresh.send(offer('b'))
    await other.next('OFFER')
  })

  test('[P3] the limit of this node counts peers, and not one that comes back', async () => {
    const home = await house({ concurrentLimit: 2 })
    await home.join('a', 'secret')
    const second = await home.join('b')
    const over = new PeerJsPeer({ url: home.url, id: 'c' })
    await over.ended()
    expect(over.frames).toEqual([
      '{"type":"ERROR","payload":{"msg":"Server has reached its concurrent user limit"}}',
    ])
    const resumed = await home.join('a', 'secret')
    await second.close()
    await eventually('gone', () => home.node.sessions.onlineCount === 1)
    await home.join('c')
    resumed.send(offer('c'))
  })

  test('[P13] a foreign Origin gets no WebSocket', async () => {
    const home = await house({ origins: ['https://good.example'] })
    for (const origin of [
      'https://evil.example',
      'null',
      'https://good.example.evil',
      'https://GOOD.example',
    ]) {
      const socket = new WebSocket(`${home.url.replace('http', 'ws')}/peerjs?key=peerjs&id=a&token=t`, {
        origin,
      })
      const [error] = (await once(socket, 'error')) as [Error]
      expect(error.message).toContain('403')
    }
    const good = await PeerJsPeer.open({
      url: home.url,
      id: 'a',
      headers: { origin: 'https://good.example' },
    })
    await good.cut()
  })

  test('[P11] a shared key travels in the token, before a ~ in the token, or in the key', async () => {
    const home = await house({ accessKey: 'a-shared-key-of-16' })
    const ways = [
      { id: 'in-token', token: 'a-shared-key-of-16' },
      { id: 'in-token-with-secret', token: 'a-shared-key-of-16~own' },
      { id: 'in-key', key: 'a-shared-key-of-16' },
    ]
    for (const way of ways) await PeerJsPeer.open({ url: home.url, ...way }).then((peer) => peer.cut())
    for (const [way, text] of [
      [{ token: 'wrong' }, 'Invalid token provided'],
      [{ key: 'wrong-too' }, 'Invalid key provided'],
    ] as const) {
      const refused = new PeerJsPeer({ url: home.url, id: 'x', ...way })
      await refused.ended()
      expect(refused.frames).toEqual([`{"type":"ERROR","payload":{"msg":"${text}"}}`])
    }
  })

  test('[P11] a key that all peers share takes nobody its name [I9]', async () => {
    const home = await house({ accessKey: 'a-shared-key-of-16' })
    const first = await PeerJsPeer.open({ url: home.url, id: 'a', token: 'a-shared-key-of-16' })
    const second = new PeerJsPeer({ url: home.url, id: 'a', token: 'a-shared-key-of-16' })
    await takenAnswer(home, second)
    expect(first.end).toBeUndefined()
    await first.cut()
  })
})

describe('messages', () => {
  test('[P6] are relayed byte for byte as PeerJS writes them, and nothing else is', async () => {
    const home = await house()
    const [a, b] = [await home.join('a'), await home.join('b')]
    a.send('not json')
    a.send('7')
    a.send({ type: 'HEARTBEAT' })
    a.send({ type: 'NONSENSE', dst: 'b' })
    a.send({ type: 'OFFER', payload: { sdp: 1 } })
    a.send({ type: 'OFFER', dst: 'b', payload: { sdp: 'ä"\\' }, src: 'c', more: 1 })
    a.send(Buffer.from(JSON.stringify({ type: 'ANSWER', dst: 'b' })).toString())
    a.socket.send(Buffer.from('{"type":"CANDIDATE","dst":"b"}'), { binary: true })
    a.socket.send(Buffer.from([0xff, 0xfe, 0x00]), { binary: true })
    a.send({ type: 'LEAVE', dst: 'b' })
    await b.next('LEAVE')
    expect(b.frames.slice(1)).toEqual([
      '{"type":"OFFER","src":"a","dst":"b","payload":{"sdp":"ä\\"\\\\"}}',
      '{"type":"ANSWER","src":"a","dst":"b"}',
      '{"type":"CANDIDATE","src":"a","dst":"b"}',
      '{"type":"LEAVE","src":"a","dst":"b"}',
    ])
    expect(a.end).toBeUndefined()
    expect(home.logs.find(({ details }) => details['what'] === 'malformed')).toBeDefined()
  })

  test('[P6] frames sent before OPEN are kept until the name is claimed', async () => {
    const home = await house()
    const b = await home.join('b')
    const a = new PeerJsPeer({ url: home.url, id: 'a' })
    a.socket.on('open', () => {
      for (let n = 0; n < 20; n++) a.send(candidate('b', n))
    })
    await b.next('CANDIDATE', 19)
    expect(b.received.map(({ payload }) => payload)).toMatchObject(
      Array.from({ length: 20 }, (_, n) => ({ n })),
    )
    await a.cut()
  })

  test('[P7] what waited comes after OPEN and in order, before what arrives meanwhile', async () => {
    let open = (): void => {}
    const opened = new Promise<void>((resolve) => (open = resolve))
    const slowTake = (backend: Backend): Backend => ({
      ...backend,
      mailbox: {
        put: (peer, message) => backend.mailbox.put(peer, message),
        expire: (peer) => backend.mailbox.expire(peer),
        take: async (peer) => {
          const taken = await backend.mailbox.take(peer)
          await opened
          return taken
        },
      },
    })
    const home = await house({ wrap: slowTake })
    const a = await home.join('a')
    for (let n = 0; n < 5; n++) a.send(candidate('b', n))
    await eventually('held', () => home.seen.filter((line) => line === 'signal held').length === 5)
    const b = await home.join('b')
    for (let n = 5; n < 10; n++) a.send(candidate('b', n))
    await eventually('delivered', () => home.seen.filter((line) => line === 'signal delivered').length === 5)
    expect(b.frames).toEqual(['{"type":"OPEN"}'])
    open()
    await b.next('CANDIDATE', 9)
    expect(b.received.map(({ payload }) => payload)).toMatchObject(
      Array.from({ length: 10 }, (_, n) => ({ n })),
    )
  })

  test('[P7] the order of a pair stands when the other arrives amid slow look-ups', async () => {
    const slowLookups = (backend: Backend): Backend => {
      const { registry } = backend
      const lookup: Registry['lookup'] = async (peer) => {
        const found = await registry.lookup(peer)
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 8))
        return found
      }
      return { ...backend, registry: registryWith(registry, { lookup }) }
    }
    const home = await house({ wrap: slowLookups })
    const a = await home.join('a')
    for (let round = 0; round < 20; round++) {
      const dst = `b${round}`
      const coming = new PeerJsPeer({ url: home.url, id: dst })
      for (let n = 0; n < 30; n++) {
        a.send(candidate(dst, n))
        if (n % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
      }
      await coming.next('CANDIDATE', 29)
      expect(coming.received.map(({ payload }) => payload)).toMatchObject(
        Array.from({ length: 30 }, (_, n) => ({ n })),
      )
      await coming.cut()
    }
  })

  test('[P9] nobody came: one EXPIRE a pair, five seconds after the queue was made', async () => {
    const home = await house()
    const [a, b] = [await home.join('a'), await home.join('b')]
    for (let n = 0; n < 5; n++) a.send(candidate('nobody', n))
    b.send(offer('nobody'))
    a.send({ type: 'LEAVE', dst: 'somebody' })
    a.send({ type: 'EXPIRE', dst: 'somebody' })
    await eventually('held', () => home.seen.filter((line) => line === 'signal held').length === 6)
    await home.clock.advance(4_900)
    expect(a.received).toEqual([])
    await home.clock.advance(200)
    await Promise.all([a.next('EXPIRE'), b.next('EXPIRE')])
    await home.clock.advance(800)
    a.send(offer('b'))
    await b.next('OFFER')
    expect(a.frames.slice(1)).toEqual(['{"type":"EXPIRE","src":"nobody","dst":"a"}'])
    expect(b.frames[1]).toBe('{"type":"EXPIRE","src":"nobody","dst":"b"}')
  })

  test('[P9] what no peer can be called expires at once, as it was written', async () => {
    const home = await house()
    const a = await home.join('a')
    const long = 'x'.repeat(129)
    for (const dst of [5, true, ['b'], { b: 1 }, long, 'a\u0000b']) {
      a.send({ type: 'OFFER', dst })
      a.send({ type: 'OFFER', dst })
    }
    a.send(offer('a'))
    await a.next('OFFER')
    expect(a.received.map(({ src }) => src)).toEqual([5, true, ['b'], { b: 1 }, long, 'a\u0000b', 'a'])
  })

  test('[P8] a full mailbox refuses, tells the sender, and is logged', async () => {
    const clock = fakeClock()
    const home = await house({
      cluster: memoryCluster({ clock, mailboxLimits: { messages: 3, length: 10_000, expireMs: 5_000 } }),
    })
    const a = await home.join('a')
    for (let n = 0; n < 5; n++) a.send(candidate('nobody', n))
    await a.next('EXPIRE')
    await eventually('five', () => home.seen.filter((line) => line.startsWith('signal ')).length === 5)
    expect(home.seen.filter((line) => line === 'signal held')).toHaveLength(3)
    expect(home.logs).toContainEqual({
      event: 'dropped',
      details: { wire: 'peerjs', what: 'mailbox-full', name: 'default/nobody' },
    })
  })

  test('[P14] a native peer shares the name space: its id is taken, and a message for it is answered at once', async () => {
    const home = await house({ allowDiscovery: true })
    const sent: Message[] = []
    const id = parseConnectionId('n1')
    if (!id.ok) throw new Error(id.problem)
    const native: Connection = {
      id: id.value,
      wire: 'native',
      send: (message) => message.type === 'relay' && sent.push(message.message) > 0,
      close: () => {},
    }
    home.node.open(native)
    const outcome = await home.node.claim(native, {
      peer: peerOf('default/native'),
      secret: 'a'.repeat(22),
      policy: 'refuse',
    })
    expect(outcome.ok).toBe(true)
    const taken = new PeerJsPeer({ url: home.url, id: 'native' })
    await takenAnswer(home, taken)
    const a = await home.join('a')
    a.send(offer('native'))
    expect((await a.next('EXPIRE')).text).toBe(
      '{"type":"EXPIRE","src":"native","dst":"a","payload":{"msg":"the other peer speaks another protocol"}}',
    )
    expect(sent).toEqual([])
    const listed = await fetch(`${home.url}/peerjs/peers`)
    expect(await listed.json()).toEqual(expect.arrayContaining(['native', 'a']))
    expect(await home.node.lookup([peerOf('default/a')])).toMatchObject([{ state: 'online' }])
  })
})

describe('leaving', () => {
  test('[P10] a close frame of any code frees the id at once', async () => {
    const home = await house()
    for (const code of [undefined, 1000, 1001, 4321]) {
      const peer = await home.join('a')
      await peer.close(code)
      await eventually('left', () => home.gateway.connections === 0)
      expect(await home.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
    }
  })

  test('[P10] a drop without a close frame keeps it for its token, for the grace', async () => {
    const home = await house()
    const peer = await home.join('a', 'secret')
    await peer.cut()
    await eventually('dropped', () => home.gateway.connections === 0)
    expect(await home.node.lookup([peerOf('default/a')])).toMatchObject([{ state: 'away' }])
    const stranger = new PeerJsPeer({ url: home.url, id: 'a', token: 'other' })
    await takenAnswer(home, stranger)
    const back = await home.join('a', 'secret')
    await back.cut()
    await eventually('dropped', () => home.gateway.connections === 0)
    await home.clock.advance(defaultTimes.graceMs + 1_000)
    await home.join('a', 'other')
  })

  test('[P10] a page that is reloaded before its claim is through does not find its id taken', async () => {
    let answer = (): void => {}
    const held = new Promise<void>((resolve) => (answer = resolve))
    let claims = 0
    const slowClaim = (backend: Backend): Backend => {
      const { registry } = backend
      const claim: Registry['claim'] = async (peer, owner, options) => {
        claims++
        const claimed = await registry.claim(peer, owner, options)
        if (claims === 1) await held
        return claimed
      }
      return { ...backend, registry: registryWith(registry, { claim }) }
    }
    const home = await house({ wrap: slowClaim })
    const first = new PeerJsPeer({ url: home.url, id: 'a', token: 'first' })
    await once(first.socket, 'open')
    await eventually('claiming', () => claims === 1)
    await first.close(1001)
    await eventually('left', () => home.gateway.connections === 0)
    answer()
    const second = await home.join('a', 'second')
    expect(second.frames).toEqual(['{"type":"OPEN"}'])
  })

  test('[P10] LEAVE without dst gives the name back and ends the socket', async () => {
    const home = await house()
    const peer = await home.join('a')
    peer.send({ type: 'LEAVE' })
    await peer.ended()
    expect(await home.node.lookup([peerOf('default/a')])).toEqual([{ state: 'offline' }])
  })

  test('[P10] nobody is told LEAVE because a signaling socket ended', async () => {
    const home = await house()
    const [a, b, c] = [await home.join('a'), await home.join('b'), await home.join('c')]
    a.send(offer('b'))
    await b.next('OFFER')
    await a.cut()
    await c.close(1001)
    await eventually('gone', () => home.gateway.connections === 1)
    b.send(offer('b'))
    await b.next('OFFER', 1)
    expect(b.received.map(({ type }) => type)).toEqual(['OFFER', 'OFFER'])
  })

  test('[P15] who answers pings stays without a heartbeat; who does not is cut, and its name waits', async () => {
    const home = await house()
    const [quiet, frozen] = [await home.join('quiet'), await home.join('frozen')]
    frozen.socket.pause()
    const pings = once(quiet.socket, 'ping')
    for (let step = 0; step < 20; step++) {
      await home.clock.advance(1_000)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await pings
    await eventually('cut', () => home.gateway.connections === 1)
    expect(home.seen).toContain('closed ping-timeout')
    expect(await home.node.lookup([peerOf('default/frozen'), peerOf('default/quiet')])).toMatchObject([
      { state: 'away' },
      { state: 'online' },
    ])
  })

  test('[P15] drain cuts in batches, so that the applications reconnect elsewhere; the names wait', async () => {
    const home = await house()
    const peers = await Promise.all(Array.from({ length: 20 }, (_, n) => home.join(`p${n}`)))
    home.node.beginDrain()
    const drained = home.gateway.drain(1_000)
    while (peers.some((peer) => peer.end === undefined)) {
      await home.clock.advance(100)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await drained
    expect(new Set(peers.map((peer) => peer.end?.code))).toEqual(new Set([4000]))
    await eventually('ended', () => home.gateway.connections === 0)
    expect(await home.node.lookup([peerOf('default/p7')])).toMatchObject([{ state: 'away' }])
    const late = new PeerJsPeer({ url: home.url, id: 'late' })
    expect(await late.ended()).toMatchObject({ code: 4000 })
  })

  test('[P15] when everything has stopped, no timer is left', async () => {
    const home = await house()
    const a = await home.join('a')
    a.send(offer('nobody'))
    a.send('garbage')
    await eventually('held', () => home.seen.includes('signal held'))
    await home.gateway.stop()
    await home.node.stop()
    expect(home.clock.pending).toBe(0)
  })
})

test('[P12] an application may make the ids, and hears who comes and goes', async () => {
  const heard: string[] = []
  const home = await house({
    generateId: () => 'made-up',
    onPeer: (event, peer) => heard.push(`${event} ${peer}`),
  })
  expect(await (await fetch(`${home.url}/peerjs/id`)).text()).toBe('made-up')
  const peer = await home.join('made-up')
  await peer.close()
  await eventually('gone', () => heard.length === 2)
  expect(heard).toEqual(['connection default/made-up', 'disconnect default/made-up'])
})

describe('limits', () => {
  test('[P16] a frame over the limit ends the socket with 1009 and a log line; the id is free', async () => {
    const home = await house()
    const a = await home.join('a')
    const payload = 'x'.repeat(1024 * 1024)
    a.send(offer('b', payload))
    expect(await a.ended()).toMatchObject({ code: 1009 })
    const logged = home.logs.find(({ details }) => details['what'] === 'fault')
    expect(logged?.details).toMatchObject({ code: 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', name: 'a' })
    await eventually('gone', () => home.gateway.connections === 0)
    await home.join('a')
  })

  test('[P16] the limit is the frame, to the byte', async () => {
    const home = await house({ frameBytes: 1_024 })
    const [a, b] = [await home.join('a'), await home.join('b')]
    const sized = (bytes: number): string => {
      const empty = JSON.stringify(offer('b', ''))
      return JSON.stringify(offer('b', 'x'.repeat(bytes - empty.length)))
    }
    a.send(sized(1_024))
    await b.next('OFFER')
    a.send(sized(1_025))
    expect(await a.ended()).toMatchObject({ code: 1009 })
  })

  test('[P16] a peer that does not read is cut at the bound, and its sender is told', async () => {
    const home = await house({ bufferedBytes: 65_536 })
    const [a, b] = [await home.join('a'), await home.join('b')]
    b.socket.pause()
    const payload = 'x'.repeat(32_000)
    while (!home.seen.includes('closed slow-consumer')) {
      a.send(offer('b', payload))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect((await a.next('EXPIRE')).payload).toEqual({ msg: 'the other peer does not read fast enough' })
  })

  test('[P16] frames before the name is claimed are bounded', async () => {
    const never = (backend: Backend): Backend => ({
      ...backend,
      registry: registryWith(backend.registry, { claim: () => new Promise(() => {}) }),
    })
    const home = await house({ wrap: never })
    const a = new PeerJsPeer({ url: home.url, id: 'a' })
    a.socket.on('open', () => {
      for (let n = 0; n < 100; n++) a.send(candidate('b', n))
    })
    expect(await a.ended()).toMatchObject({ code: 4004 })
  })

  test('[P16] messages over the rate are dropped, and their sender is told', async () => {
    const limitValues = {
      ...unlimited,
      connection: { messagesPerSecond: 5, bytesPerSecond: 0, lookupsPerSecond: 0 },
    }
    const home = await house({ limitValues })
    const [a, b] = [await home.join('a'), await home.join('b')]
    for (let n = 0; n < 20; n++) a.send(candidate('b', n))
    expect((await a.next('EXPIRE')).payload).toEqual({ msg: 'too many requests; retry later' })
    expect(b.received).toHaveLength(10)
    await home.clock.advance(1_000)
    a.send(candidate('b', 20))
    await b.next('CANDIDATE', 10)
  })

  test('[P16] connections of one address are counted, and given back however they end', async () => {
    const address = { ...unlimited.address, connections: 2 }
    const home = await house({
      limitValues: { ...unlimited, address },
      addresses: new Addresses(['127.0.0.0/8']),
    })
    const at = { url: home.url, headers: { 'x-forwarded-for': '192.0.2.7' } }
    for (let round = 0; round < 5; round++) {
      // A handshake that ws refuses has been no connection.
      const broken = connect(Number(new URL(home.url).port), '127.0.0.1')
      broken.write(
        'GET /peerjs HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
          'Sec-WebSocket-Version: 1\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n',
      )
      const [answer] = await once(broken, 'data')
      expect(String(answer)).toContain('HTTP/1.1 400')
      broken.destroy()
      const one = await PeerJsPeer.open({ ...at, id: 'one' })
      const other = await PeerJsPeer.open({ ...at, id: 'other' })
      const third = new PeerJsPeer({ ...at, id: 'third' })
      expect(await third.ended()).toMatchObject({ code: 1006 })
      await one.close()
      await other.cut()
      await eventually('given back', () => home.gateway.connections === 0)
      await home.clock.advance(40_000)
    }
  })

  test('[P16] a store that is down: claims are cut without an ERROR, messages are answered, nothing throws', async () => {
    const clock = fakeClock()
    const cluster = memoryCluster({ clock })
    const home = await house({ cluster })
    const a = await home.join('a')
    cluster.setDown(true)
    a.send(offer('b'))
    expect((await a.next('EXPIRE')).payload).toEqual({ msg: 'the registry cannot be reached right now' })
    const late = new PeerJsPeer({ url: home.url, id: 'late' })
    expect(await late.ended()).toMatchObject({ code: 4007 })
    expect(late.frames).toEqual([])
  })
})

describe('HTTP', () => {
  test('[P12] /id makes a fresh id, CORS reflects the origin', async () => {
    const home = await house()
    const answer = await fetch(`${home.url}/peerjs/id?ts=1&version=1.5.5`, {
      headers: { origin: 'https://a.example' },
    })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://a.example')
    expect(answer.headers.get('vary')).toBe('Origin')
    expect(await answer.text()).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    )
    const own = await house({ generateId: () => 'mine', cors: ['https://good.example'] })
    const custom = await fetch(`${own.url}/peerjs/id`, { headers: { origin: 'https://a.example' } })
    expect(await custom.text()).toBe('mine')
    expect(custom.headers.get('access-control-allow-origin')).toBeNull()
  })

  test('[P12] OPTIONS is answered with 204', async () => {
    const home = await house()
    const answer = await fetch(`${home.url}/peerjs/id`, {
      method: 'OPTIONS',
      headers: { origin: 'https://a.example', 'access-control-request-headers': 'x-a' },
    })
    expect(answer.status).toBe(204)
    expect(answer.headers.get('access-control-allow-methods')).toContain('GET')
    expect(answer.headers.get('access-control-allow-headers')).toBe('x-a')
  })

  test('[P12] /peers lists who is online, where it is allowed', async () => {
    const closed = await house()
    const refused = await fetch(`${closed.url}/peerjs/peers`)
    expect([refused.status, await refused.text()]).toEqual([401, 'Unauthorized'])
    const home = await house({ allowDiscovery: true })
    await home.join('a')
    const away = await home.join('b')
    await away.cut()
    await eventually('away', () => home.gateway.connections === 1)
    const answer = await fetch(`${home.url}/peerjs/peers`)
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(await answer.text()).toBe('["a"]')
    await home.join('c')
    expect(await (await fetch(`${home.url}/peerjs/peers`)).text()).toBe('["a"]')
    await home.clock.advance(2_000)
    expect(await (await fetch(`${home.url}/peerjs/peers`)).json()).toEqual(['a', 'c'])
  })

  test('[P12] with a mapping of keys each sees its own app; with a shared key nobody sees without it', async () => {
    const mapped = await house({ allowDiscovery: true, key: { red: appOf('red'), blue: appOf('blue') } })
    const red = await PeerJsPeer.open({ url: mapped.url, id: 'r', key: 'red' })
    expect(await (await fetch(`${mapped.url}/red/peers`)).json()).toEqual(['r'])
    expect(await (await fetch(`${mapped.url}/blue/peers`)).json()).toEqual([])
    await red.cut()
    const locked = await house({ allowDiscovery: true, accessKey: 'a-shared-key-of-16' })
    expect((await fetch(`${locked.url}/peerjs/peers`)).status).toBe(401)
    expect((await fetch(`${locked.url}/a-shared-key-of-16/peers`)).status).toBe(200)
  })

  test('[P12] what is not ours is left to the application', async () => {
    const home = await house()
    for (const path of [
      '/',
      '/users/id',
      '/v1/id',
      '/peerage/peers',
      '/peerjs',
      '/peerjs/id/x',
      '/a/peerjs/id',
    ])
      expect(await (await fetch(`${home.url}${path}`)).text()).toBe('the application')
    expect(await (await fetch(`${home.url}/peerjs/id`, { method: 'POST' })).text()).toBe('the application')
    const mounted = await house({ path: '/app' })
    expect(await (await fetch(`${mounted.url}/app`)).json()).toMatchObject({ name: 'Peerage' })
    expect((await fetch(`${mounted.url}/app/peerjs/id`)).status).toBe(200)
    expect(await (await fetch(`${mounted.url}/peerjs/id`)).text()).toBe('the application')
  })
})
