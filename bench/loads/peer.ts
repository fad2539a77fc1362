import { randomBytes } from 'node:crypto'
import { FrameSocket } from '../lib/ws-load.js'
import type { Wire, WireContext, WireName } from './wire.js'
import { peerageWire } from './wire-peerage.js'
import { peerjsWire } from './wire-peerjs.js'
import { publishWire } from './wire-publish.js'
import { socketioWire } from './wire-socketio.js'

export interface PeerEvents {
  body(peer: LoadPeer, from: string, body: string): void
  acknowledged(count: number): void
  problem(text: string): void
  /** A ready connection ended. */
  lost(peer: LoadPeer): void
}

const SECRET_BYTES = 24
/** A connection that is not ready within this time has failed, as by default in socket.io's client. */
const CONNECT_TIMEOUT_MS = 20_000

/** One peer. It connects, and may connect again to another node under the same name and secret. */
export class LoadPeer {
  readonly name: string
  readonly #wireName: WireName
  readonly #token: string | undefined
  readonly #events: PeerEvents
  readonly #secret = randomBytes(SECRET_BYTES).toString('base64url')
  #socket: FrameSocket | undefined
  #wire: Wire | undefined
  #ready = false

  constructor(name: string, { wire, token }: { wire: WireName; token?: string }, events: PeerEvents) {
    this.name = name
    this.#wireName = wire
    this.#token = token
    this.#events = events
  }

  get ready(): boolean {
    return this.#ready
  }

  /** Resolves with undefined once the peer is ready, or with the reason why it is not. */
  connect(port: number, source: string | undefined): Promise<string | undefined> {
    return new Promise((resolve) => {
      const settle = (reason: string | undefined): void => {
        clearTimeout(timer)
        resolve(reason)
      }
      const timer = setTimeout(() => {
        settle('no answer in time')
        socket.destroy()
      }, CONNECT_TIMEOUT_MS)
      const wire = this.#makeWire((frame) => socket.send(frame), settle)
      const socket = new FrameSocket(
        { host: '127.0.0.1', port, path: wire.path, ...(source === undefined ? {} : { source }) },
        {
          open: () => wire.opened(),
          text: (text) => wire.frame(text),
          closed: (reason) => {
            wire.stop()
            if (this.#socket === socket) this.#gone()
            settle(reason)
          },
        },
      )
      this.#socket = socket
      this.#wire = wire
    })
  }

  prepare(recipients: readonly string[]): Promise<void> {
    return this.#wire?.prepare(recipients) ?? Promise.resolve()
  }

  message(to: string, body: string): void {
    this.#wire?.message(to, body)
  }

  join(room: string): Promise<void> {
    return this.#wire?.join?.(room) ?? Promise.reject(new Error('this wire has no rooms'))
  }

  say(room: string, body: string): void {
    this.#wire?.say?.(room, body)
  }

  close(): void {
    const socket = this.#socket
    this.#socket = undefined
    this.#ready = false
    this.#wire?.stop()
    socket?.close()
  }

  #gone(): void {
    const wasReady = this.#ready
    this.#ready = false
    if (wasReady) this.#events.lost(this)
  }

  #makeWire(send: (frame: string) => void, settle: (reason: undefined) => void): Wire {
    const context: WireContext = {
      name: this.name,
      secret: this.#secret,
      token: this.#token,
      send,
      events: {
        ready: () => {
          this.#ready = true
          settle(undefined)
        },
        body: (from, body) => this.#events.body(this, from, body),
        acknowledged: (count) => this.#events.acknowledged(count),
        problem: (text) => this.#events.problem(text),
      },
    }
    switch (this.#wireName) {
      case 'socketio':
        return socketioWire(context, false)
      case 'socketio-ack':
        return socketioWire(context, true)
      case 'peerage':
        return peerageWire(context)
      case 'peerjs':
        return peerjsWire(context)
      case 'publish':
        return publishWire(context)
    }
  }
}
