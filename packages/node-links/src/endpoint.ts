import type { Clock, Nodes, OnError } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { formatHostPort, parseNodeId } from '@peerage/protocol'
import type { Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { Admission } from './admission.js'
import type { Announcement } from './announcement.js'
import { parseAnnouncement } from './announcement.js'
import type { Identity } from './identity.js'
import type { Proven } from './link.js'
import { BusyError, WrongNodeError, proveAccepted, proveDialled } from './proving.js'

export interface EndpointOptions {
  host: string
  port: number
  nodes: Pick<Nodes, 'announced'>
  clock: Clock
  /** Whether this node takes a link from a node that has dialled. */
  wants: (node: NodeId) => boolean
  /** Called with an incoming connection after its proof. */
  accepted: (proven: Proven) => void
  onError: OnError
}

/** How long a connection may stay open without a proof, on both sides. */
const PROOF_MS = 2_000
/** Frames are sent at once. Keep-alive detects a node that vanished within a few minutes, also when nothing is sent. */
const SOCKET = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }

/** Listens for links from other nodes, and dials other nodes. */
export class Endpoint {
  readonly #options: EndpointOptions
  readonly #server: Server
  readonly #admission: Admission
  /** Functions that end the connections without a proof, incoming and outgoing. */
  readonly #unproven = new Set<() => void>()
  #identity: Identity | undefined
  /** How many incoming connections were closed without a proof. */
  refused = 0

  constructor(options: EndpointOptions) {
    this.#options = options
    this.#admission = new Admission(options.clock)
    this.#server = createServer(SOCKET)
    this.#server.on('connection', (socket) => this.#accept(socket))
  }

  /** Resolves with the port. Rejects if the endpoint cannot listen. */
  async listen(): Promise<number> {
    const { host, port, onError } = this.#options
    await new Promise<void>((resolve, reject) => {
      // The server looks up the address first, and may be closed meanwhile.
      const onClose = (): void => reject(new Error('the link port is closed'))
      this.#server.once('error', reject).once('close', onClose)
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject).off('close', onClose)
        resolve()
      })
    })
    // This happens, for example, if the process has too many open files.
    this.#server.on('error', (error) => onError(error, { stage: 'link port' }))
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : port
  }

  /** Gives this process a new identity. Connections without a proof were for the former one, so they are closed. */
  identify(identity: Identity): void {
    this.#endUnproven()
    this.#identity = identity
  }

  async close(): Promise<void> {
    this.#identity = undefined
    this.#endUnproven()
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()))
  }

  /**
   * Connects to a node. Undefined if that node takes no link now, if another node is at its address, or if this process
   * has got another identity meanwhile. Rejects if the node cannot be reached.
   */
  async dial(node: NodeId): Promise<Proven | undefined> {
    const identity = this.#identity
    const announcement = await this.#announced(node)
    if (identity === undefined || identity !== this.#identity || announcement === undefined) return undefined
    // One side has TLS and the other has not. That is not a fault of this node.
    if (identity.plain !== (announcement.proof.type === 'token')) return undefined
    const socket = connect({ ...announcement.address, ...SOCKET })
    try {
      return await this.#within(socket, async () => {
        await connected(socket)
        return proveDialled(socket, identity, node, announcement)
      })
    } catch (error) {
      if (error instanceof WrongNodeError || error instanceof BusyError) return undefined
      if (identity !== this.#identity) return undefined
      throw new LinkUnreachable(announcement, error)
    }
  }

  #accept(socket: Socket): void {
    const identity = this.#identity
    const { remoteAddress = '' } = socket
    if (identity === undefined || !this.#admission.enter(remoteAddress)) {
      this.refused++
      socket.on('error', () => undefined).destroy()
      return
    }
    const asked = { find: (name: string) => this.#find(name), wants: this.#options.wants }
    const proving = this.#within(socket, () => proveAccepted(socket, identity, asked))
    void proving
      .finally(() => this.#admission.leave(remoteAddress))
      .then(
        (proven) => {
          // This process may have got another identity meanwhile.
          if (identity === this.#identity) this.#options.accepted(proven)
          else proven.socket.destroy()
        },
        (error: unknown) => {
          if (!(error instanceof BusyError)) this.refused++
        },
      )
  }

  /** Ends the connection if there is no proof in time. Resolves only while the connection is open. */
  async #within(socket: Socket, prove: () => Promise<Proven>): Promise<Proven> {
    let why = new Error('the connection ended')
    const ended = new Promise<never>((_resolve, reject) => {
      // After an error the socket emits `close`.
      socket.on('error', (error) => void (why = error)).once('close', () => reject(why))
    })
    const timer = this.#options.clock.after(PROOF_MS, () => {
      why = new Error(`there was no proof within ${PROOF_MS} ms`)
      socket.destroy()
    })
    const end = (): void => {
      timer.cancel()
      socket.destroy()
    }
    this.#unproven.add(end)
    try {
      const proven = await Promise.race([prove(), ended])
      // The store may have answered after the connection ended.
      if (socket.destroyed) throw why
      return proven
    } catch (error) {
      socket.destroy()
      throw error
    } finally {
      timer.cancel()
      this.#unproven.delete(end)
    }
  }

  async #find(name: string): Promise<{ node: NodeId; announcement: Announcement } | undefined> {
    const node = parseNodeId(name)
    // A connection that claims to be this node is an impostor.
    if (!node.ok || node.value === this.#identity?.node) return undefined
    const announcement = await this.#announced(node.value)
    return announcement && { node: node.value, announcement }
  }

  /** Also undefined while the store does not answer. So there are no new links in that time. */
  async #announced(node: NodeId): Promise<Announcement | undefined> {
    try {
      const text = await this.#options.nodes.announced(node)
      return text === undefined ? undefined : parseAnnouncement(text)
    } catch (error) {
      if (error instanceof RegistryUnavailable) return undefined
      throw error
    }
  }

  #endUnproven(): void {
    for (const end of this.#unproven) end()
  }
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve) => void socket.once('connect', resolve))
}

/** The error for a node that announces links but cannot be reached. */
class LinkUnreachable extends Error {
  override readonly name = 'LinkUnreachable'

  constructor({ address }: Announcement, cause: unknown) {
    const words = cause instanceof Error ? cause.message : String(cause)
    super(`no link to ${formatHostPort(address)}: ${words}`, { cause })
  }
}
