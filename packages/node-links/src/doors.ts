import type { Clock, Nodes, OnError } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { parseNodeId } from '@peerage/protocol'
import type { Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import type { Announcement } from './announcement.js'
import { formatAddress, parseAnnouncement } from './announcement.js'
import type { Identity } from './identity.js'
import type { Proven } from './link.js'
import { OtherNode, proveAccepted, proveDialled } from './proving.js'

export interface DoorsOptions {
  host: string
  port: number
  nodes: Nodes
  clock: Clock
  /** A connection that came in, and is proven. */
  accepted: (proven: Proven) => void
  onError: OnError
}

/** How long a connection may go without a proof, on both sides. */
const PROOF_MS = 2_000
/** Connections without a proof that there may be at once. */
const UNPROVEN_MOST = 64
/** New connections a second, and at once: a handshake takes about a millisecond of a core. */
const ACCEPTED_PER_SECOND = 50
const ACCEPTED_AT_ONCE = 200
/** A peer that is gone without a word is noticed after some of these. */
const KEEP_ALIVE_MS = 30_000

/** Where links begin: listens for other nodes, and dials them. */
export class Doors {
  readonly #options: DoorsOptions
  readonly #server: Server
  readonly #unproven = new Set<Socket>()
  #identity: Identity | undefined
  #tokens = ACCEPTED_AT_ONCE
  #filledAt = 0
  /** Connections that came in and were closed without a proof. */
  refused = 0

  constructor(options: DoorsOptions) {
    this.#options = options
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS })
    this.#server.on('connection', (socket) => this.#accept(socket))
  }

  /** Resolves with the port. Rejects where it cannot listen. */
  async listen(): Promise<number> {
    const { host, port, onError } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    // Such as too many open files.
    this.#server.on('error', (error) => onError(error, { stage: 'link port' }))
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : port
  }

  /** Connections that are not proven yet were meant for the node that this process was before. */
  identify(identity: Identity): void {
    this.#endUnproven()
    this.#identity = identity
  }

  async close(): Promise<void> {
    this.#identity = undefined
    this.#endUnproven()
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()))
  }

  /** Connects to a node. Undefined: it takes no links, or another node is at its address. Rejects when it cannot be reached. */
  async dial(node: NodeId): Promise<Proven | undefined> {
    const identity = this.#identity
    const announcement = await this.#announced(node)
    // One side with TLS and the other without is no fault of this node's.
    if (identity === undefined || announcement === undefined) return undefined
    if (identity.plain !== (announcement.proof.type === 'token')) return undefined
    const socket = connect({ ...announcement.address, noDelay: true, keepAlive: true })
    try {
      return await this.#within(socket, async () => {
        await connected(socket)
        return proveDialled(socket, identity, node, announcement)
      })
    } catch (error) {
      if (error instanceof OtherNode) return undefined
      throw new LinkUnreachable(announcement, error)
    }
  }

  #accept(socket: Socket): void {
    const identity = this.#identity
    if (identity === undefined || this.#unproven.size >= UNPROVEN_MOST || !this.#takeToken()) {
      this.refused++
      socket.on('error', () => undefined).destroy()
      return
    }
    this.#unproven.add(socket)
    const prove = (): Promise<Proven> => proveAccepted(socket, identity, (name) => this.#find(name))
    this.#within(socket, prove)
      .finally(() => this.#unproven.delete(socket))
      .then(
        (proven) => {
          // This process may be another node by now.
          if (identity === this.#identity) this.#options.accepted(proven)
          else proven.socket.destroy()
        },
        () => {
          this.refused++
        },
      )
  }

  /** Ends the connection where it is not proven within the time. */
  async #within(socket: Socket, prove: () => Promise<Proven>): Promise<Proven> {
    let late = false
    const timer = this.#options.clock.after(PROOF_MS, () => {
      late = true
      socket.destroy()
    })
    // What goes wrong ends it, and the close is what we listen for.
    socket.on('error', () => undefined)
    try {
      return await prove()
    } catch (error) {
      socket.destroy()
      throw late ? new Error(`nothing came within ${PROOF_MS} ms`) : error
    } finally {
      timer.cancel()
    }
  }

  async #find(name: string): Promise<{ node: NodeId; announcement: Announcement } | undefined> {
    const node = parseNodeId(name)
    const announcement = node.ok ? await this.#announced(node.value) : undefined
    return node.ok && announcement !== undefined ? { node: node.value, announcement } : undefined
  }

  /** Undefined also while the store does not answer: there are no new links then. */
  async #announced(node: NodeId): Promise<Announcement | undefined> {
    try {
      const text = await this.#options.nodes.announced(node)
      return text === undefined ? undefined : parseAnnouncement(text)
    } catch (error) {
      if (error instanceof RegistryUnavailable) return undefined
      throw error
    }
  }

  /** Whether one more connection may come in now. */
  #takeToken(): boolean {
    const now = this.#options.clock.monotonic()
    const filled = this.#tokens + ((now - this.#filledAt) * ACCEPTED_PER_SECOND) / 1_000
    this.#tokens = Math.min(ACCEPTED_AT_ONCE, filled)
    this.#filledAt = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  #endUnproven(): void {
    for (const socket of this.#unproven) socket.destroy()
    this.#unproven.clear()
  }
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the connection ended')))
  })
}

/** A node that announces links cannot be reached. */
class LinkUnreachable extends Error {
  override readonly name = 'LinkUnreachable'

  constructor({ address }: Announcement, cause: unknown) {
    const words = cause instanceof Error ? cause.message : String(cause)
    super(`no link to ${formatAddress(address)}: ${words}`, { cause })
  }
}
