import type {
  Hello,
  Name,
  NodeMessage,
  NodeMessageOf,
  PeerMessage,
  PeerMessageOf,
  PresenceState,
} from '@peerage/protocol'
import { PROTOCOL_VERSION, closeCodes, parseName, protocolError } from '@peerage/protocol'
import type { CloseReason, ErrorCode } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'
import type { OpenTransport, TransportEvents } from '../tier/transport.js'

/** What the network does to each frame. `random` decides it. */
export interface Faults {
  random: () => number
  /** The share of frames that are lost, from 0 to 1. */
  loss: number
  /** The share of frames that arrive twice, from 0 to 1. */
  twice: number
  /** The longest time that a frame takes, in milliseconds. Frames may overtake each other. */
  delayMs: number
}

interface Holder {
  name: Name
  secret: string
  since: number
  /** This connection claimed the name while it was free. */
  isNew: boolean
  connection: TransportEvents | undefined
}

/** The nodes of a cluster in memory. They speak the native wire over a network that can lose and reorder frames. */
export class FakeTier {
  readonly clock: Clock
  readonly faults: Faults
  readonly holders = new Map<Name, Holder>()
  /** Every frame that a peer has sent. */
  readonly sent: PeerMessage[] = []
  /** The errors with which the next connections are refused, one each. */
  refusals: { code: Parameters<typeof protocolError>[0]; retryAfterMs?: number }[] = []
  /** The node's setting, for peers that claim from now on. */
  deadlineMs = 30_000
  /** The relay policy that peers are told. The fake carries every message all the same. */
  relay: NodeMessageOf<'welcome'>['relay'] = null
  /** The names to which nobody may send. */
  readonly forbidden = new Set<Name>()
  /** In how many milliseconds a token ends, as peers are told. */
  tokenMs: number | undefined
  /** The tokens of all hellos and renewals. */
  readonly tokens: (string | undefined)[] = []
  /** How the next renewals are answered, one each: undefined means not at all. Further ones are accepted. */
  renewals: (ErrorCode | undefined)[] = []
  readonly #watchers = new Map<TransportEvents, Set<Name>>()
  #lastSince = 0
  #made = 0

  constructor(clock: Clock, faults: Partial<Faults> = {}) {
    this.clock = clock
    this.faults = { random: Math.random, loss: 0, twice: 0, delayMs: 0, ...faults }
  }

  readonly open: OpenTransport = (hello, events) => {
    let alive = true
    const guarded: TransportEvents = {
      message: (message) => alive && events.message(message),
      malformed: (error) => alive && events.malformed(error),
      refused: (error) => alive && events.refused(error),
      closed: (code) => {
        if (!alive) return
        alive = false
        this.#watchers.delete(guarded)
        events.closed(code)
      },
    }
    this.clock.after(1, () => alive && this.#claim(hello, guarded))
    return {
      send: (message) => {
        if (alive) this.#receive(guarded, message)
        return alive
      },
      close: () => {
        alive = false
        this.#watchers.delete(guarded)
        this.#suspend(guarded)
      },
    }
  }

  /** Breaks the connection of `name`, or closes it with a reason. The name stays reserved for its holder. */
  cut(name: string, reason?: CloseReason, retryAfterMs?: number): void {
    const holder = this.#holder(name)
    const connection = holder?.connection
    if (holder === undefined || connection === undefined) return
    if (reason !== undefined)
      connection.message({ type: 'closing', reason, ...(retryAfterMs !== undefined && { retryAfterMs }) })
    this.#suspend(connection)
    connection.closed(reason === undefined ? 1006 : closeCodes[reason])
  }

  /** Closes the connection of `name` as an application server asked for. `code` is the code of the WebSocket. */
  disconnect(name: string, code: number, closing?: Partial<NodeMessageOf<'closing'>>): void {
    const connection = this.#holder(name)?.connection
    if (connection === undefined) return
    if (closing !== undefined) connection.message({ type: 'closing', reason: 'disconnected', ...closing })
    this.#suspend(connection)
    connection.closed(code)
  }

  /** Frees the name, as when its grace is over or its peer has left. */
  release(name: string): void {
    const holder = this.#holder(name)
    if (holder === undefined) return
    this.holders.delete(holder.name)
    this.#tell(holder.name, 'offline')
    holder.connection?.message({ type: 'closing', reason: 'lease-lost' })
    holder.connection?.closed(closeCodes['lease-lost'])
  }

  /** Sends one frame of the node to the peer. */
  hand(name: string, message: NodeMessage): void {
    this.#holder(name)?.connection?.message(message)
  }

  #holder(name: string): Holder | undefined {
    const parsed = parseName(name)
    return parsed.ok ? this.holders.get(parsed.value) : undefined
  }

  #of(connection: TransportEvents): Holder | undefined {
    return [...this.holders.values()].find((holder) => holder.connection === connection)
  }

  #claim(hello: Hello, connection: TransportEvents): void {
    this.tokens.push(hello.token)
    const refusal = this.refusals.shift()
    if (refusal !== undefined)
      return connection.refused(protocolError(refusal.code, 'refused', refusal.retryAfterMs))
    const made = parseName(`made-${++this.#made}`)
    const name = hello.name ?? (made.ok ? made.value : undefined)
    if (name === undefined) throw new Error('the made-up name is invalid')
    const held = this.holders.get(name)
    if (held !== undefined && held.secret !== hello.secret)
      return connection.refused(protocolError('name-taken', 'the name is taken'))
    if (held?.connection !== undefined) this.cut(name, 'superseded')
    const { secret } = hello
    const isNew = held === undefined
    const holder: Holder = { name, secret, since: held?.since ?? ++this.#lastSince, isNew, connection }
    this.holders.set(name, holder)
    connection.message(this.welcome(holder, hello.app))
    this.#tell(name, 'online')
  }

  /** The welcome of a holder. */
  welcome({ name, since }: Pick<Holder, 'name' | 'since'>, app?: Hello['app']): NodeMessageOf<'welcome'> {
    return {
      type: 'welcome',
      v: PROTOCOL_VERSION,
      app: app ?? ('default' as NonNullable<Hello['app']>),
      name,
      since,
      node: 'fakenode',
      p2p: { server: null, turn: null },
      relay: this.relay,
      graceMs: 30_000,
      deadlineMs: this.deadlineMs,
      pingMs: 10_000,
      ...(this.tokenMs !== undefined && { tokenMs: this.tokenMs }),
    }
  }

  #suspend(connection: TransportEvents): void {
    const holder = this.#of(connection)
    if (holder === undefined) return
    holder.connection = undefined
    this.#tell(holder.name, 'away')
  }

  #tell(name: Name, state: PresenceState): void {
    for (const [connection, names] of this.#watchers)
      if (names.has(name))
        this.#pass(() => connection.message({ type: 'presence', ...this.#presence(name), state }))
  }

  #presence(name: Name): { name: Name; state: PresenceState; since?: number } {
    const holder = this.holders.get(name)
    if (holder === undefined) return { name, state: 'offline' }
    return { name, state: holder.connection === undefined ? 'away' : 'online', since: holder.since }
  }

  /** Carries one frame over the network, which may lose it, copy it, or delay it. */
  #pass(arrive: () => void): void {
    const { random, loss, twice, delayMs } = this.faults
    const copies = random() < loss ? 0 : random() < twice ? 2 : 1
    for (let i = 0; i < copies; i++) this.clock.after(1 + random() * delayMs, arrive)
  }

  #receive(connection: TransportEvents, message: PeerMessage): void {
    const from = this.#of(connection)
    if (from === undefined) return
    this.sent.push(message)
    switch (message.type) {
      case 'send':
        // A node reads the frames of one connection in order. Only the network behind it may reorder them.
        return this.#route(from, connection, message)
      case 'ack':
        for (const { to, ...ack } of message.acks)
          this.#pass(() =>
            this.holders.get(to)?.connection?.message({ type: 'acked', from: from.name, ...ack }),
          )
        return
      case 'lookup':
      case 'watch': {
        if (message.type === 'watch') {
          const watched = this.#watchers.get(connection) ?? new Set()
          for (const name of message.names) watched.add(name)
          this.#watchers.set(connection, watched)
        }
        const { id, names } = message
        return this.#pass(() =>
          connection.message({ type: 'found', id, peers: names.map((name) => this.#presence(name)) }),
        )
      }
      case 'unwatch':
        for (const name of message.names) this.#watchers.get(connection)?.delete(name)
        return
      case 'ice':
        return this.#pass(() => connection.message({ type: 'ice', id: message.id, turn: null }))
      case 'renew':
        return this.#renew(connection, message)
      case 'leave':
        if (message.onlyNew && !from.isNew) this.#suspend(connection)
        else {
          this.holders.delete(from.name)
          this.#tell(from.name, 'offline')
        }
        connection.message({ type: 'closing', reason: 'left' })
        return connection.closed(closeCodes.left)
      default:
      // We ignore reports, which are for operators, and rooms, which no test of this fake uses.
    }
  }

  #renew(connection: TransportEvents, { id, token }: PeerMessageOf<'renew'>): void {
    this.tokens.push(token)
    const isNext = this.renewals.length > 0
    const code = this.renewals.shift()
    if (code !== undefined)
      this.#pass(() => connection.message({ type: 'error', id, code, detail: 'the token is refused' }))
    else if (!isNext) {
      const { tokenMs } = this
      this.#pass(() => connection.message({ type: 'renewed', id, ...(tokenMs !== undefined && { tokenMs }) }))
    }
  }

  #route(from: Holder, connection: TransportEvents, message: PeerMessageOf<'send'>): void {
    const { to, since, stream, seq, type: _, fresh: __, ...rest } = message
    const holder = this.holders.get(to)
    const here = holder?.connection === undefined ? 'away' : undefined
    const code = this.forbidden.has(to) ? 'forbidden' : holder?.since !== since ? 'unavailable' : here
    if (code !== undefined)
      return this.#pass(() => connection.message({ type: 'notice', to, stream, seq, code }))
    // The frame is for this connection. The node does not deliver it to a later connection of the same holder.
    const target = holder?.connection
    this.#pass(() =>
      target?.message({ ...rest, type: 'message', from: from.name, since: from.since, stream, seq }),
    )
  }
}
