import type { Clock, Node } from '@peerage/core'
import { RegistryUnavailable, Semaphore } from '@peerage/core'
import type { NodeMessage, PeerMessageOf, ProtocolError } from '@peerage/protocol'
import { encodeNodeMessage, errorTexts, protocolError } from '@peerage/protocol'
import { allows } from '../../access/grants.js'
import type { Limits } from '../shared/limits.js'
import type { NativeConnection } from './connection.js'
import { lookUp, unwatch, watch } from './core-messages.js'
import { Renewals, type RenewalsOptions } from './renewals.js'
import { NativeRooms } from './rooms.js'
import type { NativeGatewayOptions } from './options.js'

interface Options
  extends
    Pick<NativeGatewayOptions, 'node' | 'clock' | 'limits' | 'metrics' | 'commandMs' | 'onError'>,
    RenewalsOptions {}

type Request = PeerMessageOf<'lookup' | 'watch' | 'unwatch' | 'join' | 'part' | 'members' | 'say' | 'renew'>

/** Undefined if the request wants no answer. */
type Answer = NodeMessage | ProtocolError | undefined

/** A page of members costs as much as this many lookups: it takes one command and has a long answer. */
const ROOM_PAGE_LOOKUPS = 8

/** How many requests of one connection run at once, so that a peer with many rooms does not make all others wait. */
const REQUESTS_AT_ONCE = 16
/** How many requests of one connection may wait. A peer that asks for each of its rooms and watches alone needs fewer. */
const REQUESTS_WAITING = 1_000
const WAITING_RETRY_MS = 1_000
/** A request may wait as long as this many commands may take. Later it is refused: the SDK gives up after 5 seconds. */
const WAITING_COMMANDS = 4

/**
 * Handles the requests of native peers to the registry: lookups, watches and rooms. Each request is counted first. The
 * requests of a connection start in the order in which they came. Each is answered, unless its connection has ended.
 */
export class NativeRequests {
  readonly #options: Options
  readonly #node: Node
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #rooms: NativeRooms
  readonly #renewals: Renewals

  constructor(options: Options) {
    this.#options = options
    this.#node = options.node
    this.#clock = options.clock
    this.#limits = options.limits
    this.#rooms = new NativeRooms(options.node, options.metrics)
    this.#renewals = new Renewals(options)
  }

  take(connection: NativeConnection, request: Request): void {
    const id = 'id' in request ? request.id : undefined
    const refused = notGranted(connection, request) ?? this.#overRate(connection, request)
    connection.app?.count(refused === undefined)
    if (refused) {
      connection.fail(refused, id)
      const waitMs = connection.nativeRates.refusedRequests.take(1, this.#clock.monotonic())
      if (waitMs > 0) connection.pause(waitMs)
      return
    }
    this.#inTurn(connection, request).then(
      (answer) => {
        if (answer === undefined) return
        if ('type' in answer) connection.write(encodeNodeMessage(answer))
        else connection.fail(answer, id)
      },
      (error: unknown) => {
        if (!(error instanceof RegistryUnavailable)) this.#options.onError(error, { stage: request.type })
        connection.fail(protocolError('registry-unavailable', errorTexts['registry-unavailable']), id)
      },
    )
  }

  async #inTurn(connection: NativeConnection, request: Request): Promise<Answer> {
    const turns = (connection.requests ??= new Semaphore(REQUESTS_AT_ONCE, Number.POSITIVE_INFINITY))
    // A request that costs at most one command waits only for earlier requests that wait, and needs no free slot.
    if (turns.waiting === 0 && (request.type === 'say' || isEnd(request)))
      return this.#begin(connection, request)
    if (turns.waiting >= REQUESTS_WAITING && !isEnd(request))
      return protocolError('rate-limited', 'too many requests wait for their answers', WAITING_RETRY_MS)
    const until = this.#clock.monotonic() + WAITING_COMMANDS * this.#options.commandMs
    return turns.run(async () => {
      if (this.#clock.monotonic() > until && !isEnd(request))
        throw new RegistryUnavailable('the registry is too slow for the requests of this peer')
      return this.#begin(connection, request)
    })
  }

  #begin(connection: NativeConnection, request: Request): Answer | Promise<Answer> {
    const session = this.#node.sessions.get(connection.id)
    // The connection ended while the request waited.
    if (session?.state !== 'online' || connection.reason !== undefined) return undefined
    // While the request waited, a new token may have come.
    const refused = notGranted(connection, request)
    if (refused) return refused
    switch (request.type) {
      case 'lookup':
        return lookUp(this.#node, session, request)
      case 'watch':
        return watch(this.#node, session, request)
      case 'unwatch':
        unwatch(this.#node, session, request)
        return undefined
      case 'join':
        return this.#rooms.join(session, request)
      case 'part':
        return this.#rooms.leave(session, request)
      case 'members':
        return this.#rooms.members(session, request)
      case 'say':
        return this.#rooms.say(session, request, (cost) =>
          connection.nativeRates.said.take(cost, this.#clock.monotonic()),
        )
      case 'renew':
        return this.#renewals.renew(connection, session, request)
    }
  }

  #overRate(connection: NativeConnection, request: Request): ProtocolError | undefined {
    switch (request.type) {
      case 'lookup':
      case 'watch':
        return this.#overLookups(connection, request.names.length)
      case 'members':
        return this.#overLookups(connection, ROOM_PAGE_LOOKUPS)
      case 'join': {
        const waitMs = connection.nativeRates.joins.take(1, this.#clock.monotonic())
        return waitMs > 0 ? protocolError('rate-limited', 'too many joins', waitMs) : undefined
      }
      case 'renew':
        return this.#renewals.overRate(connection)
      case 'say': {
        const refused = connection.overRelay(request.body, this.#clock.monotonic())
        return refused && protocolError(refused, errorTexts[refused])
      }
      case 'part':
      case 'unwatch':
        return undefined
    }
  }

  #overLookups(connection: NativeConnection, names: number): ProtocolError | undefined {
    const own = connection.nativeRates.lookups.take(names, this.#clock.monotonic())
    const waitMs = Math.max(own, this.#limits.lookups(connection.address, names))
    return waitMs > 0 ? protocolError('rate-limited', 'too many lookups', waitMs) : undefined
  }
}

/** Peers do not repeat these requests, and they work without the registry. So they are never refused. */
function isEnd({ type }: Request): boolean {
  return type === 'part' || type === 'unwatch'
}

/**
 * Whether the access rules granted the names or the room of a request. This comes before any look-up, and the answer is
 * the same whether somebody holds the name, so that nobody can try out names.
 */
function notGranted({ access }: NativeConnection, request: Request): ProtocolError | undefined {
  if (access === undefined) return undefined
  switch (request.type) {
    case 'lookup':
    case 'watch':
      return request.names.every((name) => allows(access.to, name))
        ? undefined
        : protocolError('forbidden', 'the access token does not allow one of these names')
    case 'join':
      return allows(access.rooms, request.room)
        ? undefined
        : protocolError('forbidden', 'the access token does not allow this room')
    default:
      return undefined
  }
}
