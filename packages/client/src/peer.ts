import { limits } from '@peerage/protocol'
import { encodeFragments } from './delivery/body.js'
import { aFunction, aTimeUpTo, anArray, aSignal, check, checkOptions, oneOf } from './lib/check.js'
import type { Kinds } from './lib/check.js'
import { PeerageError, textOf } from './lib/error.js'
import type { SendFailure } from './lib/error.js'
import type { PeerState } from './tier/connector.js'
import { nameOrThrow } from './lib/names.js'
import type { P2P } from './p2p/controls.js'
import type { Modules } from './platform/modules.js'
import type { Answer } from './tier/requests.js'
import { okOrThrow } from './tier/requests.js'
import type { Mesh, Room } from './rooms/rooms.js'
import type { PeerEvents } from './tier/events.js'
import { DEADLINE_MOST_MS, Session } from './tier/session.js'
import type { Via } from './delivery/signaling.js'
import type { Presence } from './tier/watches.js'

/** Which messages the nodes carry; see `Peer.relay`. */
export interface RelayPolicy {
  /** How many bytes of messages a second, in all. 0: no limit. */
  bytesPerSecond: number
  /** How many bytes in each part of a message. */
  messageBytes: number
}

/** The options of calls that wait for a node. */
export interface Waiting {
  /** Ends the call when the signal aborts. The promise then rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** The options of `send`. */
export interface SendOptions extends Waiting {
  /**
   * Milliseconds until the message fails as `timeout`. At most 300,000 (5 minutes). Default: the node's setting
   * `deadlineMs`, 30,000 unless configured.
   */
  deadlineMs?: number | undefined
  /** Whether the message goes over a channel or through the server; see `Via`. Default: `p2p-first`. */
  via?: Via | undefined
}

const waitingKinds: Kinds<Waiting> = { signal: aSignal }
const sendKinds: Kinds<SendOptions> = {
  ...waitingKinds,
  deadlineMs: aTimeUpTo(DEADLINE_MOST_MS),
  via: oneOf('p2p-first', 'p2p-only', 'server'),
}
const NO_P2P =
  'this peer has no P2P: the option `p2p` is false, or the node has no P2P (STUN) server and `p2pServer` is not set; `join` a room instead'
const NO_CHANNEL =
  'there is no open channel to it; open one with `peer.p2p.connect`, or send with `via` "p2p-first"'

/**
 * A connected peer, made by `connect`. It sends and receives messages, watches other peers, joins rooms, and opens
 * channels to other peers (`p2p`).
 *
 * @example
 * const peer = await connect('http://localhost:9000', { name: 'alice' })
 * peer.on('state', ({ state }) => console.log(state))
 * await peer.watch('bob')
 * peer.on('presence', ({ name, state }) => console.log(name, state))
 */
export class Peer {
  /**
   * The P2P controller, which opens channels to other peers. Null if P2P is disabled, because the option `p2p` is false
   * or there is neither a STUN server nor a TURN server (SPEC.md, PP21). Then every message goes through the server.
   */
  readonly p2p: P2P | null
  readonly #session: Session
  readonly #modules: Modules

  /**
   * @internal Call `connect` instead.
   * @throws TypeError if an application calls it, as it does with PeerJS
   */
  constructor(session: Session, p2p: P2P | null, modules: Modules) {
    if (!((session as unknown) instanceof Session))
      throw new TypeError('a Peer is made by `await connect(url, { name })`')
    this.#session = session
    this.#modules = modules
    this.p2p = p2p
  }

  /** The peer's name: the option `name` of `connect`, or else the name that the storage kept or the node made. */
  get name(): string {
    return this.#session.self.name
  }

  /**
   * When the peer claimed its name, in milliseconds of Redis time. The value stays the same after a reconnect, and after
   * a reload with the same secret. A different value means that the name was free in between.
   */
  get since(): number {
    return this.#session.self.since
  }

  /**
   * Which messages the nodes carry for this peer: at most `bytesPerSecond` (0: no limit), and at most `messageBytes` in
   * each part of a message. A byte of the message counts as 4/3. Null: the nodes carry only the signals for channels.
   */
  get relay(): RelayPolicy | null {
    return this.#session.welcome.relay
  }

  /** The current state of the connection. The `state` event reports each change. */
  get state(): PeerState {
    return this.#session.connector.state
  }

  /**
   * Adds a listener for an event of `PeerEvents`: `message`, `state`, `presence` or `error`. The first `message`
   * listener also gets the messages that arrived before it was added. After `close` or `leave`, no event comes any more,
   * and a new listener is not an error.
   *
   * @returns A function that removes the listener.
   * @throws TypeError for an unknown event, or a listener that is not a function
   *
   * @example
   * const stop = peer.on('message', (from, data) => console.log(from, data))
   */
  on<K extends keyof PeerEvents>(event: K, listener: (...args: PeerEvents[K]) => unknown): () => void {
    const off = this.#session.events.on(event, listener)
    // Deliver later, so that the caller has the function that removes the listener.
    if (event === 'message') queueMicrotask(() => this.#session.carriers.inbox.drain())
    return off
  }

  /**
   * Adds a listener as `on` does, and removes it before its first call.
   *
   * @returns A function that removes the listener.
   * @throws TypeError for an unknown event, or a listener that is not a function
   */
  once<K extends keyof PeerEvents>(event: K, listener: (...args: PeerEvents[K]) => unknown): () => void {
    check('listener', listener, aFunction)
    const heard = (...args: PeerEvents[K]): unknown => {
      this.off(event, heard)
      return listener(...args)
    }
    return this.on(event, heard)
  }

  /**
   * Removes a listener that `on` has added.
   *
   * @throws TypeError for an unknown event, or a listener that is not a function
   */
  off<K extends keyof PeerEvents>(event: K, listener: (...args: PeerEvents[K]) => unknown): void {
    this.#session.events.off(event, listener)
  }

  /**
   * Sends a message to the peer with the name `to`. Resolves when the other SDK has handed it to its application.
   * Messages to one peer arrive once and in order (protocol SPEC.md, WD4).
   *
   * @param to - The name of the recipient.
   * @param data - A JSON value, a string, or bytes (an `ArrayBuffer` or a view of one, which arrive as a `Uint8Array`).
   *   At most 196,599 ASCII characters, or 147,447 bytes.
   * @throws PeerageError whose code is a `SendFailure`, or `bad-name` for an invalid name
   * @throws TypeError for `data` that is no JSON value itself (such as `undefined`, a function, NaN, a Map, an Error) or has
   *   a cycle or a BigInt in it, for an unknown option, or an option with a wrong value. Else `JSON.stringify` decides what
   *   becomes of the values inside `data`: it makes `null` of a NaN, and `{}` of a Map.
   * @throws The reason of `signal`, if that is aborted first.
   *
   * @example
   * await peer.send('bob', { text: 'hello' })
   * await peer.send('bob', new Uint8Array([1, 2, 3]), { deadlineMs: 5_000 })
   */
  async send(to: string, data: unknown, options: SendOptions = {}): Promise<void> {
    checkOptions(options, sendKinds)
    const { signal, deadlineMs, via = 'p2p-first' } = options
    const name = nameOrThrow(to, 'to')
    const bodies = encodeFragments(data)
    const failed = (code: SendFailure, why = textOf(code)): PeerageError =>
      new PeerageError(code, `not delivered to ${name}: ${why}`)
    if (bodies === undefined) throw failed('too-large')
    const message = { to: name, kind: 'message' as const, via, signal, deadlineMs }
    const results = await Promise.all(bodies.map((body) => this.#session.send({ ...message, body })))
    const result = results.find((one) => one !== 'delivered') ?? 'delivered'
    if (result === 'aborted') signal?.throwIfAborted()
    if (result === 'unavailable' && via === 'p2p-only') throw failed(result, NO_CHANNEL)
    if (result !== 'delivered') throw failed(result)
  }

  /**
   * Looks up the presence of names at this moment.
   *
   * @param names - Any number of names.
   * @returns One `Presence` for each name, in the same order.
   * @throws PeerageError `bad-name`, `timeout` if the node does not answer within 5 s, `rate-limited` or `closed`
   * @throws The reason of `signal`, if that is aborted first.
   *
   * @example
   * const [bob] = await peer.lookup(['bob'])
   * if (bob?.state === 'online') await peer.send('bob', 'hello')
   */
  async lookup(names: string[], options: Waiting = {}): Promise<Presence[]> {
    check('names', names, anArray)
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
   * Watches a name. From now on, each change of its presence causes a `presence` event, even after a reconnect. Each
   * `watch` that resolves needs one `unwatch`.
   *
   * @returns The current presence of the name.
   * @throws PeerageError `bad-name`, `too-many` (over 256 names), `timeout` if the node does not answer within 5 s,
   *   `rate-limited` or `closed`
   * @throws The reason of `signal`, if that is aborted first.
   */
  async watch(name: string, options: Waiting = {}): Promise<Presence | undefined> {
    checkOptions(options, waitingKinds)
    const { signal } = options
    const wanted = nameOrThrow(name)
    const answer = await this.#session.watches.watch(wanted, signal)
    if (!answer.ok) this.unwatch(wanted)
    return foundOrThrow(answer, signal)[0]
  }

  /**
   * Ends one `watch` of the name.
   *
   * @throws PeerageError `bad-name` for an invalid name
   */
  unwatch(name: string): void {
    this.#session.watches.unwatch(nameOrThrow(name))
  }

  /**
   * Joins a room. Resolves when this peer receives the messages of the room. The name of a room follows the rules for
   * names (protocol SPEC.md, WN1). The SDK loads its code for rooms at the first `join`.
   *
   * @throws PeerageError `bad-name`, `forbidden` (the access rules do not allow the room), `too-many` (over 64 rooms, or
   *   10,000 members), `timeout` if the node does not answer within 5 s, `not-loaded` or `closed`
   * @throws The reason of `signal`, if that is aborted first.
   *
   * @example
   * const room = await peer.join('lobby')
   * room.on('message', (from, data) => console.log(from, data))
   * await room.send('hello, everybody')
   */
  async join(room: string, options: Waiting = {}): Promise<Room> {
    checkOptions(options, waitingKinds)
    const { Room } = await this.#rooms(options)
    return Room.join(this.#session, room, options.signal)
  }

  /**
   * Joins a room, and keeps a channel open to each of its members (SPEC.md, PP27).
   *
   * @throws As `join`. Also PeerageError `forbidden` if P2P is disabled.
   *
   * @example
   * const mesh = await peer.mesh('lobby')
   * mesh.on('message', (from, data) => console.log(from, data))
   */
  async mesh(room: string, options: Waiting = {}): Promise<Mesh> {
    checkOptions(options, waitingKinds)
    const { p2p } = this
    if (p2p === null) throw new PeerageError('forbidden', NO_P2P)
    const { Mesh, Room } = await this.#rooms(options)
    return new Mesh(this.#session, p2p, await Room.join(this.#session, room, options.signal))
  }

  #rooms({ signal }: Waiting): ReturnType<Modules['rooms']> {
    return this.#modules.rooms({ clock: this.#session.clock, signal })
  }

  /**
   * Gives the name back, so that it is free at once, and closes the peer. Resolves when the node and the peers at the
   * other ends of channels have been told, or after 2 s. While offline, it tries for 2 s to reach a node (protocol
   * SPEC.md, WL7). Never rejects.
   */
  async leave(): Promise<void> {
    if (this.#session.connector.state.state === 'closed') return
    await Promise.all([this.p2p?.close(), this.#session.leave()])
  }

  /**
   * Closes the peer without giving the name back. For the node's grace time (setting `graceMs`), only a peer with the
   * same secret can claim the name.
   */
  close(): void {
    this.#session.carriers.inbox.flush()
    this.#session.connector.close()
  }
}

function foundOrThrow(answer: Answer, signal: AbortSignal | undefined): Presence[] {
  const message = okOrThrow(answer, signal)
  return message.type === 'found' ? message.peers : []
}
