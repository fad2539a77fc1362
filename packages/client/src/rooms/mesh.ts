import { onAbort } from '../lib/abort.js'
import { channelData, check } from '../lib/check.js'
import { Emitter } from '../lib/emitter.js'
import type { Channel } from '../p2p/channel/channel.js'
import { Rates } from '../lib/rates.js'
import type { P2P } from '../p2p/p2p.js'
import type { Session } from '../tier/session.js'
import type { Room } from './room.js'

export type MeshEvents = {
  'channel-opened': [channel: Channel]
  'channel-closed': [channel: Channel, reason: string]
  message: [from: string, data: string | Uint8Array<ArrayBuffer>]
}

const MESH_EVENTS = { 'channel-opened': true, 'channel-closed': true, message: true } as const

/** Of two members the one with the lesser name calls; the other only when nothing has come for so long. */
const OTHER_CALLS_MS = 4_000
/** So many at once: who never answers holds a call, and what it has signalled, until the deadline. */
const CALLS_MAX = 16
const RETRY_FIRST_MS = 1_000
const RETRY_MOST_MS = 15_000

/** Channels to all members of a room, kept whole as they come and go. */
export class Mesh {
  readonly room: Room
  readonly #session: Session
  readonly #p2p: P2P
  readonly #events: Emitter<MeshEvents>
  readonly #channels = new Map<string, Channel>()
  readonly #calls = new Map<string, AbortController>()
  /** How many calls are under way, and what lets the others begin, in their order. */
  #underway = 0
  readonly #waiting: (() => void)[] = []
  /** A member that comes and goes, or closes each channel, must not make this peer call without end. */
  readonly #rate: Rates
  readonly #stops: (() => void)[] = []

  constructor(session: Session, p2p: P2P, room: Room) {
    this.room = room
    this.#session = session
    this.#p2p = p2p
    this.#rate = new Rates(session.clock)
    this.#events = new Emitter(MESH_EVENTS, (error) => session.onError(error, 'listener'))
    this.#stops.push(
      room.on('member', () => this.#mend()),
      p2p.on('channel-opened', (channel) => this.#opened(channel)),
      session.onClosed(() => this.#stop()),
    )
    for (const channel of p2p.channels) this.#opened(channel)
    this.#mend()
  }

  /** The open channels, by the name of their other end. */
  get channels(): ReadonlyMap<string, Channel> {
    return this.#channels
  }

  on<K extends keyof MeshEvents>(event: K, listener: (...args: MeshEvents[K]) => unknown): () => void {
    return this.#events.on(event, listener)
  }

  /** Over every open channel. Resolves when each has taken it or closed. */
  async send(data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer>): Promise<void> {
    check('data', data, channelData)
    await Promise.allSettled([...this.#channels.values()].map((channel) => channel.send(data)))
  }

  /** Leaves the room and closes the channels. */
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
      this.#mend()
    })
    this.#events.emit('channel-opened', channel)
  }

  #wanted(): Set<string> {
    const { name: self } = this.#session.self
    return new Set(
      this.room.members.flatMap(({ name, state }) => (name !== self && state === 'online' ? [name] : [])),
    )
  }

  #mend(): void {
    const wanted = this.#wanted()
    for (const [name, call] of this.#calls) if (!wanted.has(name)) call.abort()
    for (const name of wanted) {
      const open = this.#p2p.channel(name)
      if (open) this.#opened(open)
      else if (!this.#calls.has(name)) void this.#call(name)
    }
  }

  /** Calls until a channel is open, or nobody is there to be called any more. */
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
    // It left, and came again before this call had ended.
    if (call.signal.aborted && this.#stops.length > 0) this.#mend()
  }

  async #connect(name: string, signal: AbortSignal): Promise<void> {
    if (this.#underway >= CALLS_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#underway++
    try {
      // Why it failed is the P2P controller's event; here it is tried again.
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
