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
import { passBy, TestEndpoint, TestLine } from './test-endpoint.js'

/** Two nodes that may link, and what an impostor has in its hands. */
export interface Scene {
  store: MemoryCluster
  /** Who is attacked. */
  target: TestEndpoint
  /** The node that the impostor would like to be. */
  neighbour: TestEndpoint
  /** A node of the cluster that does not keep to the rules. */
  rogue: TestEndpoint
  /** The target trusts whom it has signed. */
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

/** Ends it all. Nothing is left: no timer waits, and nothing went wrong on the way. */
export async function closeScene({ target, neighbour, rogue }: Scene): Promise<void> {
  const endpoints = [target, neighbour, rogue]
  await Promise.all(endpoints.map((endpoint) => endpoint.close()))
  const left = endpoints.map(({ clock, errors }) => ({ timers: clock.pending, errors }))
  deepStrictEqual(
    left,
    endpoints.map(() => ({ timers: 0, errors: [] })),
  )
}

/** Resolves with what came back, once the target has closed the connection. What comes of a TLS handshake does not count. */
export type Impostor = (scene: Scene) => Promise<Buffer>

/** Connects, does what is to be done, and waits for the end. */
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

/** The same over TLS. */
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

/** Errors come before it. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => void socket.once('close', () => resolve()))
}

/** What a neighbour says to the target; `more` is what it would not. */
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

/** All that the neighbour sends when it dials the target. */
export async function record({ neighbour, target }: Scene): Promise<Buffer> {
  const way = await passBy(target.port)
  await target.announce({ host: '127.0.0.1', port: way.port })
  const line = await TestLine.dial(neighbour, target)
  await line.speak()
  await line.end()
  await target.announce()
  await way.close()
  return way.sent()
}

/** The neighbour links to the target, and keeps the session. */
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
  'who has no certificate': tls(() => ({})),
  'whose own certificate names the neighbour': tls(({ neighbour }) => makeCertificate(neighbour.node)),
  'whose own certificate names the target': tls(({ target }) => makeCertificate(target.node)),
  'whose own certificate names a node that nobody knows': (scene) => {
    const from = mintNodeId()
    return strikeTls(scene, makeCertificate(from), helloOf(scene, { from }))
  },
  'whose certificate is signed by an authority that the target trusts': tls(({ authority, neighbour }) =>
    authority.sign(neighbour.node),
  ),
  'who shows the announced certificate without its key': tls(({ neighbour }) => {
    const { cert } = certificateOf(neighbour)
    return { cert, key: keyWithoutSecret(new X509Certificate(cert).publicKey) }
  }),
  'who is a node, and says that it is the neighbour': tls(rogueCertificate),
  'who is a node, and speaks to another one': tls(rogueCertificate, ({ rogue, neighbour }) => ({
    from: rogue.node,
    to: neighbour.node,
  })),
  'who has the certificate that a node had before': async (scene) => {
    const before = certificateOf(scene.rogue)
    await scene.rogue.become(scene.rogue.node)
    return strikeTls(scene, before, helloOf(scene, fromRogue(scene)))
  },
  'who speaks TLS 1.2 only': tls(
    (scene) => ({ ...rogueCertificate(scene), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }),
    fromRogue,
  ),
  'who speaks another cipher only': tls(
    (scene) => ({ ...rogueCertificate(scene), ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }),
    fromRogue,
  ),
  'who takes up the session of a node, without its key': async (scene) => {
    const session = await sessionOf(scene)
    return strikeTls(scene, { session }, helloOf(scene))
  },
  'who is a node, and says what is no hello': (scene) =>
    strikeTls(scene, rogueCertificate(scene), Buffer.alloc(4_000, 0xff)),
  'who replays what a node has sent': async (scene) => {
    await strike(scene, await record(scene))
    return Buffer.alloc(0)
  },
  'who speaks without TLS': async (scene) => {
    await strike(scene, helloOf(scene))
    return Buffer.alloc(0)
  },
}

const plain =
  (more: (scene: Scene) => Partial<Hello>): Impostor =>
  (scene) =>
    strike(scene, helloOf(scene, more(scene)))

export const plainImpostors: Record<string, Impostor> = {
  'who has no token': plain(() => ({})),
  'who has another token': plain(() => ({ token: 'x'.repeat(43) })),
  'who has the token of the neighbour': plain(({ neighbour }) => ({ token: tokenOf(neighbour) })),
  'who has an empty token': plain(() => ({ token: '' })),
  'who has a part of the token': plain(({ target }) => ({ token: tokenOf(target).slice(0, -1) })),
  'who has more than the token': plain(({ target }) => ({ token: `${tokenOf(target)}x` })),
  'who has the token, and is a node that nobody knows': plain(({ target }) => ({
    token: tokenOf(target),
    from: mintNodeId(),
  })),
  'who has the token, and is the target itself': plain(({ target }) => ({
    token: tokenOf(target),
    from: target.node,
  })),
  'who replays what a node has said to the one before': async (scene) => {
    const recorded = await record(scene)
    await scene.target.become(scene.target.node)
    return strike(scene, recorded)
  },
  'who speaks TLS': (scene) => strikeTls(scene, {}, helloOf(scene)),
}

/** Without regard to what the port speaks. */
export const rudeImpostors: Record<string, Impostor> = {
  'who sends zeros': rude(Buffer.alloc(100_000)),
  'who sends ones': rude(Buffer.alloc(100_000, 0xff)),
  'who speaks HTTP': rude(Buffer.from('GET / HTTP/1.1\r\nHost: node\r\n\r\n')),
  'who sends a hello that is too long': rude(
    Buffer.concat([Buffer.of(0x02, 0x01), Buffer.alloc(0x201, 0x20)]),
  ),
  'who says nothing, and ends': rude((socket) => socket.end()),
  'who resets the connection at once': rude((socket) => socket.resetAndDestroy()),
  'who resets the connection after a part of a hello': rude((socket) => {
    socket.write(Buffer.of(0, 100, 0x7b), () => socket.resetAndDestroy())
  }),
}

function rude(act: Uint8Array | ((socket: Socket) => void)): Impostor {
  return async (scene) => {
    await strike(scene, act)
    return Buffer.alloc(0)
  }
}
