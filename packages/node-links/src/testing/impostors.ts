import type { MemoryCluster } from '@peerage/core'
import { memoryCluster, mintNodeId } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { deepStrictEqual } from 'node:assert'
import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { connect as connectTls } from 'node:tls'
import { makeCertificate } from '../certificate.js'
import type { Hello } from '../hello.js'
import { encodeHello } from '../hello.js'
import type { TestAuthority } from './authority.js'
import { keyWithoutSecret, makeAuthority } from './authority.js'
import { startProxy, TestEndpoint, TestLine } from './test-endpoint.js'

/** Two nodes that may link, and what an impostor has. */
export interface Scene {
  store: MemoryCluster
  /** The node that is attacked. */
  target: TestEndpoint
  /** The node that the impostor claims to be. */
  neighbour: TestEndpoint
  /** A node of the cluster that breaks the rules. */
  rogue: TestEndpoint
  /** The target trusts this authority. */
  authority: TestAuthority
  /** How many connections the impostor has made. */
  strikes: number
}

export async function openScene(plain: boolean): Promise<Scene> {
  const store = memoryCluster()
  const authority = makeAuthority()
  const target = await TestEndpoint.open(store, { plain, ca: authority.ca })
  const neighbour = await TestEndpoint.open(store, { plain, isOpen: true })
  const rogue = await TestEndpoint.open(store, { plain, isOpen: true })
  return { store, target, neighbour, rogue, authority, strikes: 0 }
}

/** Closes the endpoints, and expects that no timer is left and no error occurred. */
export async function closeScene({ target, neighbour, rogue }: Scene): Promise<void> {
  const endpoints = [target, neighbour, rogue]
  await Promise.all(endpoints.map((endpoint) => endpoint.close()))
  const left = endpoints.map(({ clock, errors }) => ({ timers: clock.pending, errors }))
  deepStrictEqual(
    left,
    endpoints.map(() => ({ timers: 0, errors: [] })),
  )
}

/** Resolves with the answer when the target has closed the connection. A TLS handshake does not count as an answer. */
export type Impostor = (scene: Scene) => Promise<Buffer>

/** Connects, sends bytes or calls `act`, and waits for the end. */
export async function strike(
  scene: Scene,
  act: Uint8Array | ((socket: Socket) => void),
  localAddress = '127.0.0.1',
): Promise<Buffer> {
  scene.strikes++
  const socket = connect({ port: scene.target.port, host: '127.0.0.1', localAddress })
  const came: Buffer[] = []
  socket.on('error', () => undefined).on('data', (chunk: Buffer) => came.push(chunk))
  if (typeof act === 'function') socket.on('connect', () => act(socket))
  else socket.write(act)
  await closed(socket)
  return Buffer.concat(came)
}

/** Like `strike`, over TLS. */
export async function strikeTls(
  scene: Scene,
  options: ConnectionOptions,
  act: Uint8Array | ((socket: TLSSocket) => void),
): Promise<Buffer> {
  scene.strikes++
  const { port } = scene.target
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options })
  const came: Buffer[] = []
  socket.on('error', () => undefined).on('data', (chunk: Buffer) => came.push(chunk))
  socket.on('secureConnect', () => {
    if (typeof act === 'function') act(socket)
    else socket.write(act)
  })
  await closed(socket)
  return Buffer.concat(came)
}

/** Resolves at `close`, which also follows an error. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => void socket.once('close', () => resolve()))
}

/** The neighbour's hello to the target, changed by `more`. */
export function helloOf({ neighbour, target }: Scene, more: Partial<Hello> = {}): Buffer {
  return encodeHello({ from: neighbour.node, to: target.node, ...more })
}

export function certificateOf({ certificate }: TestEndpoint): { cert: string; key: string } {
  if (certificate === undefined) throw new Error('its certificate is not known')
  return certificate
}

export function tokenOf({ identity }: TestEndpoint): string {
  if (!identity.plain) throw new Error('it has no token')
  return identity.token
}

/** Records all bytes that the neighbour sends when it dials the target. */
export async function record({ neighbour, target }: Scene): Promise<Buffer> {
  const proxy = await startProxy(target.port)
  await target.announce({ host: '127.0.0.1', port: proxy.port })
  const line = await TestLine.dial(neighbour, target)
  await line.speak()
  await line.end()
  await target.announce()
  await proxy.close()
  return proxy.sent()
}

/** Connects as the neighbour to the target, and returns the TLS session. */
async function sessionOf(scene: Scene): Promise<Buffer> {
  const { neighbour, target } = scene
  const options = { host: '127.0.0.1', port: target.port, rejectUnauthorized: false }
  const socket = connectTls({ ...options, ...certificateOf(neighbour) }, () => socket.write(helloOf(scene)))
  socket.resume()
  const session = await new Promise<Buffer>((resolve) => void socket.once('session', resolve))
  socket.destroy()
  return session
}

const tls =
  (
    options: (scene: Scene) => ConnectionOptions,
    more: (scene: Scene) => Partial<Hello> = () => ({}),
  ): Impostor =>
  (scene) =>
    strikeTls(scene, options(scene), helloOf(scene, more(scene)))
const rogueCertificate = ({ rogue }: Scene): ConnectionOptions => certificateOf(rogue)
const fromRogue = ({ rogue }: Scene): { from: NodeId } => ({ from: rogue.node })

export const tlsImpostors: Record<string, Impostor> = {
  'with no certificate': tls(() => ({})),
  'with a self-signed certificate for the neighbour': tls(({ neighbour }) => makeCertificate(neighbour.node)),
  'with a self-signed certificate for the target': tls(({ target }) => makeCertificate(target.node)),
  'with a self-signed certificate for an unknown node': (scene) => {
    const from = mintNodeId()
    return strikeTls(scene, makeCertificate(from), helloOf(scene, { from }))
  },
  'with a certificate of an authority that the target trusts': tls(({ authority, neighbour }) =>
    authority.sign(neighbour.node),
  ),
  'with the announced certificate, without its key': tls(({ neighbour }) => {
    const { cert } = certificateOf(neighbour)
    return { cert, key: keyWithoutSecret(new X509Certificate(cert).publicKey) }
  }),
  'that is a node, and claims to be the neighbour': tls(rogueCertificate),
  'that is a node, and sends a hello for another one': tls(rogueCertificate, ({ rogue, neighbour }) => ({
    from: rogue.node,
    to: neighbour.node,
  })),
  'with a former certificate of a node': async (scene) => {
    const before = certificateOf(scene.rogue)
    await scene.rogue.become(scene.rogue.node)
    return strikeTls(scene, before, helloOf(scene, fromRogue(scene)))
  },
  'with TLS 1.2 only': tls(
    (scene) => ({ ...rogueCertificate(scene), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }),
    fromRogue,
  ),
  'with another cipher only': tls(
    (scene) => ({ ...rogueCertificate(scene), ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }),
    fromRogue,
  ),
  'that resumes the TLS session of a node, without its key': async (scene) => {
    const session = await sessionOf(scene)
    return strikeTls(scene, { session }, helloOf(scene))
  },
  'that is a node, and sends bytes that are not a hello': (scene) =>
    strikeTls(scene, rogueCertificate(scene), Buffer.alloc(4_000, 0xff)),
  'that replays the bytes of a node': async (scene) => {
    await strike(scene, await record(scene))
    return Buffer.alloc(0)
  },
  'without TLS': async (scene) => {
    await strike(scene, helloOf(scene))
    return Buffer.alloc(0)
  },
}

const plain =
  (more: (scene: Scene) => Partial<Hello>): Impostor =>
  (scene) =>
    strike(scene, helloOf(scene, more(scene)))

export const plainImpostors: Record<string, Impostor> = {
  'with no token': plain(() => ({})),
  'with another token': plain(() => ({ token: 'x'.repeat(43) })),
  'with the token of the neighbour': plain(({ neighbour }) => ({ token: tokenOf(neighbour) })),
  'with an empty token': plain(() => ({ token: '' })),
  'with a part of the token': plain(({ target }) => ({ token: tokenOf(target).slice(0, -1) })),
  'with the token and one more character': plain(({ target }) => ({ token: `${tokenOf(target)}x` })),
  'with the token, that claims to be an unknown node': plain(({ target }) => ({
    token: tokenOf(target),
    from: mintNodeId(),
  })),
  'with the token, that claims to be the target itself': plain(({ target }) => ({
    token: tokenOf(target),
    from: target.node,
  })),
  'that replays a hello to the former identity of the target': async (scene) => {
    const recorded = await record(scene)
    await scene.target.become(scene.target.node)
    return strike(scene, recorded)
  },
  'with TLS': (scene) => strikeTls(scene, {}, helloOf(scene)),
}

/** Attackers that ignore the protocol of the port. */
export const rudeImpostors: Record<string, Impostor> = {
  'that sends zeros': rude(Buffer.alloc(100_000)),
  'that sends ones': rude(Buffer.alloc(100_000, 0xff)),
  'that speaks HTTP': rude(Buffer.from('GET / HTTP/1.1\r\nHost: node\r\n\r\n')),
  'that sends a hello that is too long': rude(
    Buffer.concat([Buffer.of(0x02, 0x01), Buffer.alloc(0x201, 0x20)]),
  ),
  'that sends nothing, and ends': rude((socket) => socket.end()),
  'that resets the connection at once': rude((socket) => socket.resetAndDestroy()),
  'that resets the connection after a part of a hello': rude((socket) => {
    socket.write(Buffer.of(0, 100, 0x7b), () => socket.resetAndDestroy())
  }),
}

function rude(act: Uint8Array | ((socket: Socket) => void)): Impostor {
  return async (scene) => {
    await strike(scene, act)
    return Buffer.alloc(0)
  }
}
