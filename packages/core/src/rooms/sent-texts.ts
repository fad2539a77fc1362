import type { NodeId, RoomId } from '@peerage/protocol'
import { randomBytes } from 'node:crypto'
import type { OnError } from '../backend.js'
import type { Clock } from '../lib/clock.js'
import { Queue } from '../lib/queue.js'
import type { Published } from './channel.js'
import { encodeCounted, encodePublished } from './channel.js'
import type { RoomRegistry } from './registry.js'
import type { Repeat } from './repeats.js'
import { PAUSE_MS, Repeats } from './repeats.js'

export interface SentTextsOptions {
  heartbeat: { readonly id: NodeId }
  registry: Pick<RoomRegistry, 'publish'>
  clock: Clock
  /** How many members this node has in a room. If it has none, it does not hear its own texts. */
  own: (room: RoomId) => number
  onError: OnError
}

/** How long a text is kept, and tried again if it was refused. A failover takes a few seconds. */
export const KEEP_MS = 15_000
/**
 * What is kept, in UTF-16 units: of all rooms, and of one. And how many texts of one room. If there is no place for a text
 * in its room, it is sent and not kept. If there is none in the node, the oldest one goes.
 */
const KEPT_MOST = 2 ** 24
const KEPT_OF_ROOM = 2 ** 20
const TEXTS_OF_ROOM = 512
/** The texts of a room are sent again at most this often because a node has asked. */
const REPEAT_MS = 1_000
/** If none of a room's texts comes back for more beats than this, they are lost. A backend's test messages get as many. */
const UNHEARD_BEATS = 3

type Said = Pick<Published, 'connection' | 'to' | 'text'>

interface Sent extends Published {
  readonly room: SentRoom
  readonly at: number
  /** False: there was no place for it, or its time is over. */
  isKept: boolean
  /** `refused`: it waits until it is tried again. */
  state: 'sending' | 'refused' | 'sent'
  /** When it came back over the channel. */
  heardAt: number | undefined
  /** Somebody waits until it is sent, or is not kept any more. */
  settle: ((outcome: 'sent' | 'unavailable') => void) | undefined
}

interface SentRoom {
  readonly id: RoomId
  /** By number, in the order in which they were said. */
  readonly texts: Map<number, Sent>
  newest: number
  length: number
  refused: number
  /** How many have not come back, and for how many beats none has. */
  unheard: number
  beats: number
  /** When all texts were last sent again. */
  repeatedAt: number
}

/**
 * The texts that this node has sent in rooms of connections without names. Each has a number, by which the other nodes know
 * it when it comes again. They are kept for some seconds, so that a failover loses none: a text that the registry has
 * refused, or that does not come back over the channel, is sent again, and so are all texts of a room when a node asks.
 */
export class SentTexts {
  /** Stands for this process in its texts. */
  readonly sender = randomBytes(6).toString('base64url')
  readonly #options: SentTextsOptions
  readonly #rooms = new Map<RoomId, SentRoom>()
  /** In the order in which they were said. */
  readonly #all = new Queue<Sent>()
  /** Rooms with texts that have not come back, at least since the last beat. */
  readonly #unheard = new Set<SentRoom>()
  readonly #repeats: Repeats
  /** The highest number of all rooms. A room that is forgotten and comes again goes on above it. */
  #newest = 0
  #length = 0
  /** Texts that could not be kept for their time. */
  #dropped = 0
  #isStopped = false

  constructor(options: SentTextsOptions) {
    this.#options = options
    this.#repeats = new Repeats({ ...options, send: (id, repeat) => this.#sendRoomAgain(id, repeat) })
  }

  /**
   * Sends a text. If the registry refuses it, it is tried again, and the later texts of the room wait behind it.
   * `unavailable`: its time is over, and it may not have reached anybody.
   */
  async say(id: RoomId, said: Said): Promise<'sent' | 'unavailable'> {
    if (this.#isStopped) return 'unavailable'
    const sent = this.#keep(id, said)
    if (sent.room.refused === 0) {
      if (await this.#publish(sent)) return 'sent'
    } else if (sent.isKept) this.#refuse(sent)
    if (!sent.isKept) return 'unavailable'
    if (sent.state === 'sent') return 'sent'
    return new Promise((settle) => (sent.settle = settle))
  }

  #keep(id: RoomId, { connection, to, text }: Said): Sent {
    const room = this.#rooms.get(id) ?? this.#open(id)
    const number = ++room.newest
    if (number > this.#newest) this.#newest = number
    const sent: Sent = {
      connection,
      to,
      text,
      sender: this.sender,
      number,
      age: undefined,
      room,
      at: this.#options.clock.monotonic(),
      isKept: false,
      state: 'sending',
      heardAt: undefined,
      settle: undefined,
    }
    if (room.texts.size < TEXTS_OF_ROOM && room.length + text.length <= KEPT_OF_ROOM) this.#add(sent)
    else this.#dropped++
    return sent
  }

  #add(sent: Sent): void {
    const { room, text } = sent
    sent.isKept = true
    room.texts.set(sent.number, sent)
    this.#all.push(sent)
    room.length += text.length
    this.#length += text.length
    if (room.unheard === 0) this.#unheard.add(room)
    room.unheard++
    while (this.#length > KEPT_MOST && this.#dropFirst()) this.#dropped++
  }

  #open(id: RoomId): SentRoom {
    const none = { length: 0, refused: 0, unheard: 0, beats: 0, repeatedAt: Number.NEGATIVE_INFINITY }
    const room: SentRoom = { id, texts: new Map(), newest: this.#newest, ...none }
    this.#rooms.set(id, room)
    return room
  }

  /** Does not keep the oldest text any more. False: there was none. */
  #dropFirst(): boolean {
    const sent = this.#all.first
    if (sent === undefined) return false
    const { room, text } = sent
    this.#all.shift()
    this.#hear(sent, this.#options.clock.monotonic())
    sent.isKept = false
    room.texts.delete(sent.number)
    room.length -= text.length
    this.#length -= text.length
    if (sent.state === 'refused') room.refused--
    sent.state = 'sent'
    sent.settle?.('unavailable')
    if (room.texts.size === 0) this.#rooms.delete(room.id)
    return true
  }

  #expire(now: number): void {
    while (now - (this.#all.first?.at ?? now) >= KEEP_MS) this.#dropFirst()
  }

  /** Whether it was sent. Otherwise it will be tried again, if it is still kept. */
  async #publish(sent: Sent): Promise<boolean> {
    const { registry, heartbeat, clock, own, onError } = this.#options
    const { room, heardAt } = sent
    sent.age = heardAt === undefined ? undefined : Math.round(clock.monotonic() - heardAt)
    const frame = encodePublished(heartbeat.id, own(room.id), sent)
    let outcome: 'sent' | 'unavailable' = 'unavailable'
    try {
      outcome = await registry.publish(room.id, frame)
    } catch (error) {
      onError(error, { stage: 'publish in a room' })
    }
    // A text that came back was sent, though its answer was lost. If it is only repeated, others may still miss it.
    const isSent = outcome === 'sent' || (sent.state !== 'sent' && sent.heardAt !== undefined)
    if (isSent) this.#wasSent(sent)
    else if (sent.state === 'sending' && sent.isKept) this.#refuse(sent)
    return isSent
  }

  #wasSent(sent: Sent): void {
    if (sent.state === 'refused') sent.room.refused--
    sent.state = 'sent'
    sent.settle?.('sent')
    sent.settle = undefined
    // It will not come back.
    if (this.#options.own(sent.room.id) === 0) this.#hear(sent, this.#options.clock.monotonic())
  }

  #refuse(sent: Sent): void {
    sent.state = 'refused'
    sent.room.refused++
    this.#repeats.add(sent.room.id, { all: false, asks: false, inMs: PAUSE_MS })
  }

  #hear(sent: Sent, now: number): void {
    if (sent.heardAt !== undefined || !sent.isKept) return
    sent.heardAt = now
    const { room } = sent
    room.unheard--
    room.beats = 0
  }

  /** A text of this process has come over the channel. */
  heard(id: RoomId, number: number): void {
    const sent = this.#rooms.get(id)?.texts.get(number)
    if (sent === undefined) return
    this.#hear(sent, this.#options.clock.monotonic())
    // Redis took it, and its answer was lost.
    if (sent.state === 'refused') this.#wasSent(sent)
  }

  /** This node has no member in the room any more, so it hears nothing of it. */
  closed(id: RoomId): void {
    const room = this.#rooms.get(id)
    if (room !== undefined) this.#hearAll(room)
  }

  #hearAll(room: SentRoom): void {
    if (room.unheard === 0) return
    const now = this.#options.clock.monotonic()
    for (const sent of room.texts.values()) if (sent.state === 'sent') this.#hear(sent, now)
  }

  /** Another node asks for the texts of the last seconds. */
  repeat(id: RoomId): void {
    const room = this.#rooms.get(id)
    if (room === undefined) return
    const inMs = Math.max(0, room.repeatedAt + REPEAT_MS - this.#options.clock.monotonic())
    this.#repeats.add(id, { all: true, asks: false, inMs })
  }

  /** Texts may have been lost, those of this node and those of others. `rooms`: those in which this node has members. */
  doubt(rooms: Iterable<RoomId>): void {
    for (const room of this.#unheard) room.beats = 0
    for (const id of rooms) this.#repeats.add(id, { all: true, asks: true, inMs: 0 })
    for (const id of this.#rooms.keys()) this.#repeats.add(id, { all: true, asks: false, inMs: 0 })
  }

  /** Once a beat. Calls `lost` for each room whose texts do not come back. */
  turn(lost: (room: RoomId) => void): void {
    this.#expire(this.#options.clock.monotonic())
    for (const room of this.#unheard) {
      if (room.unheard === 0) this.#unheard.delete(room)
      // The registry refuses them, so none can come back.
      else if (room.refused > 0) room.beats = 0
      else if (room.beats++ < UNHEARD_BEATS) {
        if (room.beats > 1) this.#repeats.add(room.id, { all: false, asks: false, inMs: 0 })
      } else {
        room.beats = 0
        this.#hearAll(room)
        lost(room.id)
      }
    }
    const dropped = this.#dropped
    this.#dropped = 0
    if (dropped > 0)
      this.#options.onError(
        new Error(`${dropped} texts in rooms were more than this node keeps; a failover now may lose them`),
        { stage: 'room texts' },
      )
  }

  /** Nothing is tried again, and whoever waits gets `unavailable`. */
  stop(): void {
    this.#isStopped = true
    this.#repeats.stop()
    while (this.#dropFirst());
  }

  /** Sends the texts of a room in their order. False: some were refused, and will be tried again. */
  async #sendRoomAgain(id: RoomId, { all, asks }: Repeat): Promise<boolean> {
    const { heartbeat, registry, clock, own } = this.#options
    this.#expire(clock.monotonic())
    const room = this.#rooms.get(id)
    const texts = [...(room?.texts.values() ?? [])].filter((sent) => all || sent.heardAt === undefined)
    if (room) {
      room.refused = 0
      if (all) room.repeatedAt = clock.monotonic()
    }
    for (const sent of texts) if (sent.state === 'refused') sent.state = 'sending'
    const asked = asks ? registry.publish(id, encodeCounted(heartbeat.id, own(id), 'texts')) : 'sent'
    const sent = await Promise.all(texts.map((one) => this.#publish(one)))
    const isAsked = (await asked) === 'sent'
    const isSent = !sent.includes(false)
    if (!isAsked || !isSent) this.#repeats.add(id, { all: all && !isSent, asks: !isAsked, inMs: PAUSE_MS })
    return isAsked && isSent
  }
}
