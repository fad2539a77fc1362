import { mintNodeId } from '@peerage/core'
import type { Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import type { TlsOptions } from 'node:tls'
import { createServer as createTlsServer } from 'node:tls'
import { X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { makeCertificate } from './certificate.js'
import type { Hello } from './hello.js'
import { encodeHello } from './hello.js'
import { keyWithoutSecret } from './testing/authority.js'
import { soon, listening, startProxy, TestLine } from './testing/test-endpoint.js'
import type { Scene } from './testing/impostors.js'
import { certificateOf, closeScene, openScene, tokenOf } from './testing/impostors.js'

const PROOF_MS = 2_000

let scene: Scene
const servers: Server[] = []
const sockets = new Set<Socket>()

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  for (const server of servers.splice(0))
    await new Promise<void>((resolve) => void server.close(() => resolve()))
  await closeScene(scene)
})

/** Lets a server listen at the address that the neighbour announces. */
async function inPlace(server: Server): Promise<void> {
  servers.push(server.on('connection', keep).on('secureConnection', keep))
  await scene.neighbour.announce({ host: '127.0.0.1', port: await listening(server) })
}

function keep(socket: Socket): void {
  sockets.add(socket.on('error', () => undefined))
}

const dial = (): Promise<unknown> => scene.target.endpoint.dial(scene.neighbour.node)

/** Expects that the dial makes no link and closes its connection, and that the next dial, to the neighbour itself, works. */
async function comesToNothing(outcome: 'another node' | RegExp): Promise<void> {
  const { target, neighbour } = scene
  const ended = new Promise<void>((resolve) => {
    servers[0]?.once('connection', (socket: Socket) => socket.on('close', () => resolve()))
  })
  if (outcome === 'another node') expect(await dial()).toBeUndefined()
  else await expect(dial()).rejects.toThrow(outcome)
  for (const socket of sockets) socket.resume()
  await ended
  expect(target.clock.pending).toBe(0)
  await neighbour.announce()
  await (await TestLine.dial(target, neighbour)).speak()
}

const answering = (answer: () => Uint8Array): Server =>
  createServer((socket) => socket.once('data', () => socket.write(answer())))
const answeringTls = (options: TlsOptions, answer: () => Uint8Array): Server =>
  createTlsServer(
    { ...options, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.3' },
    (socket) => void socket.once('data', () => socket.write(answer())),
  )
/** The neighbour's answer, changed by `more`. */
const answerOf = (more: Partial<Hello> = {}): Buffer => {
  const { neighbour, target } = scene
  const token = target.identity.plain ? { token: tokenOf(target) } : {}
  return encodeHello({ from: neighbour.node, to: target.node, ...token, ...more })
}

describe.each([
  ['TLS', false],
  ['plain', true],
])('[LINK11] a dial over %s', (_what, plain) => {
  beforeEach(async () => {
    scene = await openScene(plain)
  })

  const proven = (answer: () => Uint8Array): Server =>
    plain ? answering(answer) : answeringTls(certificateOf(scene.neighbour), answer)

  test('makes a link if the answer is right', async () => {
    await inPlace(proven(() => answerOf()))
    const link = await scene.target.endpoint.dial(scene.neighbour.node)
    expect(link).toMatchObject({ node: scene.neighbour.node, dialled: true })
    link?.socket.destroy()
  })

  test('fails at an address where nobody listens', async () => {
    const server = createServer()
    const port = await listening(server)
    await new Promise<void>((resolve) => void server.close(() => resolve()))
    await scene.neighbour.announce({ host: '127.0.0.1', port })
    await expect(dial()).rejects.toThrow(`no link to 127.0.0.1:${port}: connect ECONNREFUSED`)
    expect(scene.target.clock.pending).toBe(0)
  })

  test('fails at an address that is silent for two seconds', async () => {
    await inPlace(createServer())
    const came = new Promise<Socket>((resolve) => void servers[0]?.once('connection', resolve))
    const dialled = dial().catch((error: unknown) => error)
    const socket = await came
    const ended = new Promise<void>((resolve) => void socket.resume().once('close', () => resolve()))
    await scene.target.clock.advance(PROOF_MS)
    await ended
    expect(String(await dialled)).toContain(`there was no proof within ${PROOF_MS} ms`)
  })

  test('fails at an address that ends the connection at once', async () => {
    await inPlace(createServer((socket) => socket.destroy()))
    await comesToNothing(/^no link to 127/)
  })

  test('fails at an address that resets the connection at once', async () => {
    await inPlace(createServer((socket) => socket.resetAndDestroy()))
    await comesToNothing(/^no link to 127/)
  })

  test('fails at an address that answers with garbage', async () => {
    await inPlace(answering(() => Buffer.alloc(100_000, 0xff)))
    await comesToNothing(/^no link to 127/)
  })

  test('fails at a node whose answer is not a hello', async () => {
    await inPlace(proven(() => Buffer.alloc(100_000, 0xff)))
    await comesToNothing(/not a hello/)
  })

  test('makes no link if the answer names another sender', async () => {
    await inPlace(proven(() => answerOf({ from: scene.rogue.node })))
    await comesToNothing('another node')
  })

  test('makes no link if the answer names another receiver', async () => {
    await inPlace(proven(() => answerOf({ to: scene.rogue.node })))
    await comesToNothing('another node')
  })

  test('makes no link to another node of the same cluster at the address', async () => {
    const { target, neighbour, rogue } = scene
    await neighbour.announce({ host: '127.0.0.1', port: rogue.port })
    expect(await dial()).toBeUndefined()
    await vi.waitFor(() => expect(rogue.endpoint.refused).toBe(1), soon)
    expect(rogue.accepted).toEqual([])
    await neighbour.announce()
    await (await TestLine.dial(target, neighbour)).speak()
  })

  test('makes no link to a node of another cluster at the address', async () => {
    const other = await openScene(plain)
    await scene.neighbour.announce({ host: '127.0.0.1', port: other.target.port })
    expect(await dial()).toBeUndefined()
    await vi.waitFor(() => expect(other.target.endpoint.refused).toBe(1), soon)
    await closeScene(other)
  })

  test('makes no link to a node that was restarted at the address with a new NodeId', async () => {
    const { target, neighbour } = scene
    const former = neighbour.node
    // The announcement of a node that crashed stays for a while.
    await neighbour.become(mintNodeId())
    expect(await target.endpoint.dial(former)).toBeUndefined()
    expect(neighbour.accepted).toEqual([])
  })

  test.each(['', 'garbage', '{"v":2}', '{"v":1,"address":"127.0.0.1:0","proof":"sha256:00"}'])(
    'makes no link if the announcement is malformed: %j',
    async (text) => {
      await scene.neighbour.announceText(text)
      expect(await dial()).toBeUndefined()
    },
  )

  test('makes no link to a node that has announced nothing', async () => {
    expect(await scene.target.endpoint.dial(mintNodeId())).toBeUndefined()
  })

  test('fails at a host name that does not resolve', async () => {
    // This label is too long for DNS, so no server is asked.
    await scene.neighbour.announce({ host: `${'a'.repeat(64)}.invalid`, port: 1 })
    await expect(dial()).rejects.toThrow(/^no link to a{64}\.invalid:1: getaddrinfo/)
    expect(scene.target.clock.pending).toBe(0)
  })

  test('makes no link while the store does not answer', async () => {
    scene.store.setDown(true)
    expect(await dial()).toBeUndefined()
    scene.store.setDown(false)
  })
})

describe('[LINK8] a dial over TLS makes a link only with the announced certificate', () => {
  beforeEach(async () => {
    scene = await openScene(false)
  })

  test('not with a self-signed certificate of the right name', async () => {
    await inPlace(answeringTls(makeCertificate(scene.neighbour.node), () => answerOf()))
    await comesToNothing('another node')
  })

  test.each(['the node', 'localhost'])(
    'not with a certificate for %s from a trusted authority',
    async (name) => {
      const { authority, neighbour } = scene
      await inPlace(
        answeringTls(authority.sign(name === 'the node' ? neighbour.node : name), () => answerOf()),
      )
      await comesToNothing('another node')
    },
  )

  test('not with the announced certificate without its key', async () => {
    const { cert } = certificateOf(scene.neighbour)
    const key = keyWithoutSecret(new X509Certificate(cert).publicKey)
    await inPlace(answeringTls({ cert, key }, () => answerOf()))
    await comesToNothing(/^no link to 127/)
  })

  test('not with TLS 1.2', async () => {
    const options = { ...certificateOf(scene.neighbour), maxVersion: 'TLSv1.2' } as const
    await inPlace(createTlsServer(options))
    await comesToNothing(/^no link to 127/)
  })

  test('bytes that a stranger injects into a link end it on both sides', async () => {
    const { target, neighbour } = scene
    for (const from of ['near', 'far'] as const) {
      const proxy = await startProxy(target.port)
      await target.announce({ host: '127.0.0.1', port: proxy.port })
      const line = await TestLine.dial(neighbour, target)
      await line.speak()
      // A TLS record that is not encrypted with the connection's key.
      proxy.sockets[0]?.[from].write(Buffer.concat([Buffer.of(0x17, 3, 3, 0, 40), Buffer.alloc(40, 7)]))
      await line.ended()
      await proxy.close()
    }
    await target.announce()
  })
})

describe('[LINK9] a dial without TLS makes a link only with a node that knows the token', () => {
  beforeEach(async () => {
    scene = await openScene(true)
  })

  test.each(['', 'x'.repeat(43), undefined])('not with the token %j', async (token) => {
    const { neighbour, target } = scene
    const answer = { from: neighbour.node, to: target.node, ...(token === undefined ? {} : { token }) }
    await inPlace(answering(() => encodeHello(answer)))
    await comesToNothing('another node')
  })

  test('a stranger that asks for another node learns the NodeId, and no token', async () => {
    const { target, neighbour } = scene
    const socket = connect(target.port, '127.0.0.1')
    const came: Buffer[] = []
    socket.on('data', (chunk: Buffer) => came.push(chunk))
    socket.write(encodeHello({ from: neighbour.node, to: mintNodeId(), token: 'x'.repeat(43) }))
    await new Promise<void>((resolve) => void socket.once('close', () => resolve()))
    expect(JSON.parse(Buffer.concat(came).subarray(2).toString())).toEqual({
      v: 1,
      from: target.node,
      to: neighbour.node,
    })
  })
})

test('[LINK11] an endpoint that is closed before it listens does not listen', async () => {
  scene = await openScene(true)
  const endpoint = scene.target.another()
  const listens = endpoint.listen()
  await endpoint.close()
  await expect(listens).rejects.toThrow('closed')
})

describe.each([
  ['TLS', false],
  ['plain', true],
])('a node that takes no link now, over %s', (_what, plain) => {
  beforeEach(async () => {
    scene = await openScene(plain)
  })

  test('[LINK6] says so: the dial makes no link, and neither side counts a failure or a refusal', async () => {
    const { target, neighbour } = scene
    neighbour.wants = false
    expect(await dial()).toBeUndefined()
    expect(neighbour.accepted).toEqual([])
    expect([neighbour.endpoint.refused, neighbour.errors, target.errors]).toEqual([0, [], []])
    neighbour.wants = true
    await (await TestLine.dial(target, neighbour)).speak()
  })
})
