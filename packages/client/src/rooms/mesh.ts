import { onAbort } from '../lib/abort.js'
import { channelData, check, checkAlone } from '../lib/check.js'
import { Emitter } from '../lib/emitter.js'
import type { Channel } from '../p2p/channel/channel.js'
import { Rates } from '../lib/rates.js'
import type { P2P } from '../p2p/controls.js'
import type { Session } from '../tier/session.js'
import type { Room } from './room.js'

/** The events of a mesh. Each value is the list of arguments of the event's listeners. */
export type MeshEvents = {
  /** A channel to a member has opened, whichever side called. */
  'channel-opened': [channel: Channel]
  /** A channel to a member has closed. The reason is text for people. */
  'channel-closed': [channel: Channel, reason: string]
  /** A member has sent a message over its channel: a string, or bytes. */
  message: [from: string, data: string | Uint8Array<ArrayBuffer>]
}

const MESH_EVENTS = { 'channel-opened': true, 'channel-closed': true, message: true } as const

/** The member with the smaller name calls. The other one calls if there is no channel after this long. */
const OTHER_CALLS_MS = 4_000
/** The most calls that are under way at once. A call to a member that never answers lasts until its deadline. */
const CALLS_MAX = 16
const RETRY_FIRST_MS = 1_000
const RETRY_MOST_MS = 15_000

/**
 * A room with a channel to each of its members that is online. The mesh calls members that join, calls again when a
 * channel is lost, and shares its channels with `peer.p2p` (SPEC.md, PP27). Each peer has one connection to every other
 * peer, so a mesh suits small rooms. `peer.mesh` returns it.
 * @example
 * const mesh = await peer.mesh('game-7')
 * mesh.on('channel-opened', (channel) => console.log(`${channel.peer} is here`))
 * mesh.on('message', (from, data) => console.log(from, data))
 * await mesh.send('hello')
 */
export class Mesh {
  /** The room of the mesh. It has the list of members. Messages of `room.send` go through the nodes. */
  readonly room: Room
  readonly #session: Session
  readonly #p2p: P2P
  readonly #events: Emitter<MeshEvents>
  readonly #channels = new Map<string, Channel>()
  readonly #calls = new Map<string, AbortController>()
  /** How many calls are under way. */
  #underway = 0
  /** Starts the next calls, in their order. */
  readonly #waiting: (() => void)[] = []
  /** Bounds the calls, because a member may join and leave, or close its channels, again and again. */
  readonly #rate: Rates
  readonly #stops: (() => void)[] = []

  /** @internal `peer.mesh` makes it. */
  constructor(session: Session, p2p: P2P, room: Room) {
    this.room = room
    this.#session = session
    this.#p2p = p2p
    this.#rate = new Rates(session.clock)
    this.#events = new Emitter(MESH_EVENTS, (error) => session.onError(error, 'listener'))
    this.#stops.push(
      room.on('member', () => this.#reconcile()),
      p2p.on('channel-opened', (channel) => this.#opened(channel)),
      session.onClosed(() => this.#stop()),
    )
    for (const channel of p2p.channels) this.#opened(channel)
    this.#reconcile()
  }

  /** The open channels at this moment, by the name of the other peer. Each access makes a new map. */
  get channels(): ReadonlyMap<string, Channel> {
    return new Map(this.#channels)
  }

  /**
   * Calls `listener` at each `event`. Returns a function that removes the listener. An error that a listener throws
   * becomes an `error` event of the peer. After `close`, a new listener is not an error, but `channel-closed` is the last
   * event that comes.
   * @throws TypeError for an event that does not exist
   */
  on<K extends keyof MeshEvents>(event: K, listener: (...args: MeshEvents[K]) => unknown): () => void {
    return this.#events.on(event, listener)
  }

  /**
   * Sends one message over every open channel. Resolves when each channel has accepted the message or failed. It does not
   * say which channels failed. To know that, send over each channel of `channels`.
   * @throws TypeError if `data` is neither text nor bytes, and for a second argument
   */
  send(data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer>): Promise<void>
  async send(data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer>, ...more: unknown[]): Promise<void> {
    checkAlone(more, 'mesh.send(data) sends to every member, and takes nothing but the data')
    check('data', data, channelData)
    await Promise.allSettled([...this.#channels.values()].map((channel) => channel.send(data)))
  }

  /** Leaves the room and closes the channels of the mesh. Resolves when both are done. */
  async close(): Promise<void> {
    this.#stop()
    const channels = [...this.#channels.values()]
    await Promise.all([this.room.leave(), ...channels.map((channel) => channel.close())])
  }

  #opened(channel: Channel): void {
    const { peer } = channel
    if (!this.#wanted().has(peer) || this.#channels.get(peer) === channel) return
    this.#channels.set(peer, channel)
    channel.on('message', (data) => this.#events.emit('message', peer, data))
    channel.on('close', (reason) => {
      if (this.#channels.get(peer) === channel) this.#channels.delete(peer)
      this.#events.emit('channel-closed', channel, reason)
      this.#reconcile()
    })
    this.#events.emit('channel-opened', channel)
  }

  #wanted(): Set<string> {
    const { name: self } = this.#session.self
    return new Set(
      this.room.members.flatMap(({ name, state }) => (name !== self && state === 'online' ? [name] : [])),
    )
  }

  /** Compares the members that are online with the channels and calls, and starts or ends calls. */
  #reconcile(): void {
    const wanted = this.#wanted()
    for (const [name, call] of this.#calls) if (!wanted.has(name)) call.abort()
    for (const name of wanted) {
      const open = this.#p2p.channel(name)
      if (open) this.#opened(open)
      else if (!this.#calls.has(name)) void this.#call(name)
    }
  }

  /** Calls a member until a channel to it is open, or until it has left. */
  async #call(name: string): Promise<void> {
    const call = new AbortController()
    this.#calls.set(name, call)
    let waitMs = this.#session.self.name < name ? 0 : OTHER_CALLS_MS
    while (!call.signal.aborted && !this.#channels.has(name)) {
      await this.#pause(waitMs, call.signal)
      if (call.signal.aborted || this.#channels.has(name)) break
      if (!this.#rate.take(name)) {
        waitMs = RETRY_FIRST_MS
        continue
      }
      await this.#connect(name, call.signal)
      waitMs = Math.min(RETRY_MOST_MS, Math.max(RETRY_FIRST_MS, waitMs * 2))
    }
    this.#calls.delete(name)
    // The member may have left and joined again before this call ended.
    if (call.signal.aborted && this.#stops.length > 0) this.#reconcile()
  }

  async #connect(name: string, signal: AbortSignal): Promise<void> {
    if (this.#underway >= CALLS_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#underway++
    try {
      // The P2P controller reports the failure by its event `connect-failed`. The mesh just tries again.
      if (!signal.aborted && !this.#channels.has(name))
        await this.#p2p.connect(name, { signal }).catch(() => undefined)
    } finally {
      this.#underway--
      this.#waiting.shift()?.()
    }
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel()
        ignore()
        resolve()
      }
      const timer = this.#session.clock.after(ms, end)
      const ignore = onAbort(signal, end)
    })
  }

  #stop(): void {
    for (const stop of this.#stops.splice(0)) stop()
    for (const call of this.#calls.values()) call.abort()
  }
}
