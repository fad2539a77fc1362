import type { MemoryCluster } from '@peerage/core'
import { mintNodeId } from '@peerage/core'
import type { Backend } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { EventEmitter, once } from 'node:events'
import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { createSecureContext } from 'node:tls'
import { encodeAnnouncement } from '../announcement.js'
import type { Certificate } from '../certificate.js'
import { makeCertificate } from '../certificate.js'
import { Endpoint } from '../endpoint.js'
import type { Identity } from '../identity.js'
import { makeIdentity } from '../identity.js'
import type { Proven } from '../link.js'

/** How a test polls for something that happens soon, or later on a busy machine. */
export const soon = { interval: 5, timeout: 8_000 }

interface TestEndpointOptions {
  plain: boolean
  /** Whether the test knows its key. */
  isOpen?: boolean
  /** PEM: an authority that it trusts. */
  ca?: string
}

/** The endpoint of one node on loopback, with a fake clock, and the connections that it accepted. */
export class TestEndpoint {
  readonly clock = new FakeClock()
  readonly accepted: Proven[] = []
  /** Whether this node takes links. */
  wants = true
  readonly errors: unknown[] = []
  readonly endpoint: Endpoint
  /** If set, the store answers only after this promise. */
  known: Promise<void> | undefined
  /** How often the store was asked for an announcement. */
  lookups = 0
  readonly #events = new EventEmitter()
  readonly #backend: Backend
  readonly #options: TestEndpointOptions
  #identity: Identity
  /** Set if the test knows the key. */
  certificate: Certificate | undefined
  port = 0

  private constructor(store: MemoryCluster, options: TestEndpointOptions) {
    this.#options = options
    this.#backend = store.backend()
    this.#identity = this.#make(mintNodeId())
    this.endpoint = this.another()
  }

  /** Another endpoint of the same node. */
  another(): Endpoint {
    return new Endpoint({
      host: '127.0.0.1',
      port: 0,
      nodes: { announced: (node) => this.#announced(node) },
      clock: this.clock,
      wants: () => this.wants,
      accepted: (proven) => {
        this.accepted.push(proven)
        this.#events.emit('accepted', proven)
      },
      onError: (error) => void this.errors.push(error),
    })
  }

  static async open(store: MemoryCluster, options: TestEndpointOptions): Promise<TestEndpoint> {
    const made = new TestEndpoint(store, options)
    made.port = await made.endpoint.listen()
    await made.become(made.node)
    return made
  }

  get node(): NodeId {
    return this.#identity.node
  }

  get identity(): Identity {
    return this.#identity
  }

  /** Takes a new NodeId, or the same one with a new proof. */
  async become(node: NodeId): Promise<void> {
    this.#identity = this.#make(node)
    this.#backend.identify(node)
    await this.#backend.nodes.beat()
    this.endpoint.identify(this.#identity)
    await this.announce()
  }

  async announce(address = { host: '127.0.0.1', port: this.port }): Promise<void> {
    await this.#backend.nodes.announce(encodeAnnouncement({ address, proof: this.#identity.proof }))
  }

  /** Announces any text. */
  async announceText(text: string): Promise<void> {
    await this.#backend.nodes.announce(text)
  }

  async nextAccepted(): Promise<Proven> {
    const [proven]: Proven[] = await once(this.#events, 'accepted')
    if (proven === undefined) throw new Error('nothing was accepted')
    return proven
  }

  async close(): Promise<void> {
    for (const { socket } of this.accepted) socket.destroy()
    await this.endpoint.close()
  }

  async #announced(node: NodeId): Promise<string | undefined> {
    this.lookups++
    const text = await this.#backend.nodes.announced(node)
    await this.known
    return text
  }

  #make(node: NodeId): Identity {
    const { plain, isOpen, ca } = this.#options
    if (!plain && isOpen === true) {
      this.certificate = makeCertificate(node)
      const { cert, key, sha256 } = this.certificate
      const context = createSecureContext({ cert, key, minVersion: 'TLSv1.3' })
      return { node, plain, context, proof: { type: 'certificate', sha256 } }
    }
    const identity = makeIdentity(node, plain)
    if (ca !== undefined && !identity.plain) identity.context.context.addCACert(ca)
    return identity
  }
}

/** A proven connection between two nodes. */
export class TestLine {
  readonly #ends: readonly [Proven, Proven]

  private constructor(ends: readonly [Proven, Proven]) {
    this.#ends = ends
  }

  static async dial(from: TestEndpoint, to: TestEndpoint): Promise<TestLine> {
    const coming = to.nextAccepted()
    const near = await from.endpoint.dial(to.node)
    if (near === undefined) throw new Error('the other node took no link')
    return new TestLine([near, await coming])
  }

  /** Sends a word in both directions. Rejects unless it arrives. */
  async speak(): Promise<void> {
    const [near, far] = this.#ends
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const heard = new Promise<string>((resolve, reject) => {
        to.socket.on('data', (chunk) => resolve(chunk.toString()))
        to.socket.on('close', () => reject(new Error('the line ended')))
      })
      to.socket.resume()
      from.socket.write(Buffer.from('word'))
      if ((await heard) !== 'word') throw new Error('another word came')
    }
  }

  /** Resolves when both ends are closed. */
  async ended(): Promise<void> {
    await Promise.all(
      this.#ends.map(({ socket }) => new Promise<void>((resolve) => void socket.on('close', resolve))),
    )
  }

  async end(): Promise<void> {
    const [near, far] = this.#ends
    const ended = this.ended()
    far.socket.resume()
    near.socket.destroy()
    await ended
  }
}

export interface ByteProxy {
  port: number
  /** The bytes from the dialling side. */
  sent: () => Buffer
  /** The sockets of both sides of each connection. */
  sockets: { near: Socket; far: Socket }[]
  close: () => Promise<void>
}

/** A proxy to a port of this machine, which records the bytes, and lets a test inject more. */
export async function startProxy(port: number): Promise<ByteProxy> {
  const sent: Buffer[] = []
  const sockets: ByteProxy['sockets'] = []
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    sockets.push({ near, far })
    near.on('data', (chunk) => sent.push(chunk))
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one
        .on('error', () => undefined)
        .on('close', () => other.destroy())
        .pipe(other)
  })
  return {
    port: await listening(server),
    sent: () => Buffer.concat(sent),
    sockets,
    close: async () => {
      for (const { near, far } of sockets) [near, far].forEach((socket) => socket.destroy())
      server.close()
      await once(server, 'close')
    },
  }
}

export async function listening(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}
