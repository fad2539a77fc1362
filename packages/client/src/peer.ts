import { limits } from '@peerage/protocol'
import { encodeFragments } from './delivery/body.js'
import { aFunction, aList, aSignal, aTime, check, checkOptions, oneOf } from './lib/check.js'
import type { Kinds } from './lib/check.js'
import { PeerageError, textOf } from './lib/error.js'
import type { SendFailure } from './lib/error.js'
import type { PeerState } from './tier/link.js'
import { nameOrThrow } from './lib/names.js'
import type { P2P } from './p2p/p2p.js'
import type { Parts } from './platform/parts.js'
import type { Answer } from './tier/requests.js'
import { okOrThrow } from './tier/requests.js'
import type { Mesh, Room } from './rooms/rooms.js'
import type { PeerEvents } from './tier/events.js'
import type { Session } from './tier/session.js'
import type { Via } from './delivery/signaling.js'
import type { Presence } from './tier/watches.js'

export interface Waiting {
  /** Ends the wait; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

export interface SendOptions extends Waiting {
  /** Milliseconds until `timeout`; default: what the node says, 30,000 unless configured. At most 5 minutes. */
  deadlineMs?: number | undefined
  /** Default: `p2p-first`. */
  via?: Via | undefined
}

const waitingKinds: Kinds<Waiting> = { signal: aSignal }
const sendKinds: Kinds<SendOptions> = {
  ...waitingKinds,
  deadlineMs: aTime,
  via: oneOf('p2p-first', 'p2p-only', 'server'),
}
const NO_P2P =
  'there is no P2P here: `p2p` is false, or the tier has no P2P server and `p2pServer` names none; `join` a room instead'
const NO_CHANNEL =
  'there is no channel to it; open one with `peer.p2p.connect`, or send with `via` "p2p-first"'

/** A peer: its name, its messages, whom it watches, and its P2P controller. Made by `connect`. */
export class Peer {
  /** Null when P2P is disabled: then every message goes through the server. */
  readonly p2p: P2P | null
  readonly #session: Session
  readonly #parts: Parts

  constructor(session: Session, p2p: P2P | null, parts: Parts) {
    this.#session = session
    this.#parts = parts
    this.p2p = p2p
  }

  /** Its name; the tier's choice when none was asked for. */
  get name(): string {
    return this.#session.self.name
  }

  /** Since when it holds the name, in milliseconds of Redis time: another value is another stay. */
  get since(): number {
    return this.#session.self.since
  }

  get state(): PeerState {
    return this.#session.link.state
  }

  /** Returns the way to stop listening. Messages wait, unacknowledged, until somebody listens for them. */
  on<K extends keyof PeerEvents>(event: K, listener: (...args: PeerEvents[K]) => unknown): () => void {
    const off = this.#session.events.on(event, listener)
    // Not before the listener's owner has the way to stop.
    if (event === 'message') queueMicrotask(() => this.#session.carriers.inbox.drain())
    return off
  }

  once<K extends keyof PeerEvents>(event: K, listener: (...args: PeerEvents[K]) => unknown): () => void {
    check('listener', listener, aFunction)
    const heard = (...args: PeerEvents[K]): unknown => {
      this.off(event, heard)
      return listener(...args)
    }
    return this.on(event, heard)
  }

  off<K extends keyof PeerEvents>(event: K, listener: (...args: PeerEvents[K]) => unknown): void {
    this.#session.events.off(event, listener)
  }

  /**
   * Resolves when the SDK of `to` has handed `data` to its application: a JSON value, a string, or bytes
   * (ArrayBuffer or a view of one; they arrive as a Uint8Array). Rejects with a PeerageError whose `code` is
   * a SendFailure or `bad-name`, with the signal's reason, or with a TypeError for data that JSON cannot hold or a
   * `deadlineMs` that is no time.
   */
  async send(to: string, data: unknown, options: SendOptions = {}): Promise<void> {
    checkOptions(options, sendKinds)
    const { signal, deadlineMs, via = 'p2p-first' } = options
    const name = nameOrThrow(to, 'to')
    const parts = encodeFragments(data)
    const failed = (code: SendFailure, why = textOf(code)): PeerageError =>
      new PeerageError(code, `not delivered to ${name}: ${why}`)
    if (parts === undefined) throw failed('too-large')
    const message = { to: name, kind: 'message' as const, via, signal, deadlineMs }
    const results = await Promise.all(parts.map((body) => this.#session.send({ ...message, body })))
    const result = results.find((one) => one !== 'delivered') ?? 'delivered'
    if (result === 'aborted') signal?.throwIfAborted()
    if (result === 'unavailable' && via === 'p2p-only') throw failed(result, NO_CHANNEL)
    if (result !== 'delivered') throw failed(result)
  }

  /** Where names stand right now. Rejects with a PeerageError, or with the signal's reason. */
  async lookup(names: string[], options: Waiting = {}): Promise<Presence[]> {
    check('names', names, aList)
    checkOptions(options, waitingKinds)
    const { signal } = options
    const wanted = names.map((name, i) => nameOrThrow(name, `names[${i}]`))
    const found: Presence[] = []
    for (let i = 0; i < wanted.length; i += limits.namesPerLookup) {
      const some = wanted.slice(i, i + limits.namesPerLookup)
      const answer = await this.#session.requests.ask((id) => ({ type: 'lookup', id, names: some }), signal)
      found.push(...foundOrThrow(answer, signal))
    }
    return found
  }

  /**
   * From now on changes of `name` come as `presence` events. Resolves to where it stands. Each one wants one `unwatch`,
   * unless it rejects: with a PeerageError (`too-many` over the bound), or with the signal's reason.
   */
  async watch(name: string, options: Waiting = {}): Promise<Presence | undefined> {
    checkOptions(options, waitingKinds)
    const { signal } = options
    const wanted = nameOrThrow(name)
    const answer = await this.#session.watches.watch(wanted, signal)
    if (!answer.ok) this.unwatch(wanted)
    return foundOrThrow(answer, signal)[0]
  }

  unwatch(name: string): void {
    this.#session.watches.unwatch(nameOrThrow(name))
  }

  /**
   * Into a room; resolves when this peer hears what is said there. Rejects with a PeerageError: `bad-name`, `too-many`,
   * or with the signal's reason. The code for rooms is loaded with the first one.
   */
  async join(room: string, options: Waiting = {}): Promise<Room> {
    checkOptions(options, waitingKinds)
    const { Room } = await this.#rooms(options)
    return Room.join(this.#session, room, options.signal)
  }

  /** Into a room, with a channel to each of its members. Rejects as `join` does, and where P2P is disabled. */
  async mesh(room: string, options: Waiting = {}): Promise<Mesh> {
    checkOptions(options, waitingKinds)
    const { p2p } = this
    if (p2p === null) throw new PeerageError('forbidden', NO_P2P)
    const { Mesh, Room } = await this.#rooms(options)
    return new Mesh(this.#session, p2p, await Room.join(this.#session, room, options.signal))
  }

  #rooms({ signal }: Waiting): ReturnType<Parts['rooms']> {
    return this.#parts.rooms({ clock: this.#session.clock, signal })
  }

  /**
   * Gives the name back at once, and ends. Resolves when the node and the peers with a channel know, or after 2 s: offline,
   * so long is tried to tell a node.
   */
  async leave(): Promise<void> {
    if (this.#session.link.state.state === 'closed') return
    await Promise.all([this.p2p?.close(), this.#session.leave()])
  }

  /** Ends without giving the name back: within the grace of the tier, only the same identity can have it again. */
  close(): void {
    this.#session.carriers.inbox.flush()
    this.#session.link.close()
  }
}

function foundOrThrow(answer: Answer, signal: AbortSignal | undefined): Presence[] {
  const message = okOrThrow(answer, signal)
  return message.type === 'found' ? message.peers : []
}
