import type { OnlineSession } from '@peerage/core'
import { mintName } from '@peerage/core'
import type { ProtocolError } from '@peerage/protocol'
import {
  PROTOCOL_VERSION,
  appOf,
  decodeHello,
  encodeNodeMessage,
  errorTexts,
  nameOf,
  protocolError,
} from '@peerage/protocol'
import type { AccessEnds } from '../shared/access-ends.js'
import type { AdmitRequest, Allowed } from '../shared/access.js'
import type { Claimed } from '../shared/claimer.js'
import { Claimer } from '../shared/claimer.js'
import { costOf, holdsTooMuch } from '../shared/frame-cost.js'
import type { NativeConnection } from './connection.js'
import type { NativeGatewayOptions } from './options.js'
import { SocketIo } from './socketio.js'

/** The retry time when too many claims wait. Most of these claims are answered by then. */
const OVERLOADED_RETRY_MS = 2_000
/** A connection that sends more malformed frames than this is closed with `protocol`. */
const MAX_MALFORMED = 20
/** The limit for a connection without a name. It is lower because a connection is cheap to open and each answer costs. */
const MAX_MALFORMED_BEFORE_NAME = 5
/** How many frames may come before a delayed answer. If more come, the connection is closed after the answer. */
const MAX_HELD_BEFORE_NAME = 20
/** A connection with more refused hellos than this is closed with `rate-limited`. */
const MAX_HELLOS = 20
const HELLOS_RETRY_MS = 5_000

const CONNECT_LENGTH = '40'.length
/** The namespace of a CONNECT packet. The answer repeats at most 64 characters of it. */
const NAMESPACE = /^\/[^,]{0,63}/

export interface NativeEntryOptions extends NativeGatewayOptions {
  accessEnds: AccessEnds
}

/** Handles hellos: claims the name and sends the welcome, or the reason for a refusal. */
export class NativeEntry {
  readonly #options: NativeEntryOptions
  readonly #claimer: Claimer
  readonly #socketIo = new SocketIo((connection) => this.#welcome(connection))

  constructor(options: NativeEntryOptions) {
    this.#options = options
    this.#claimer = new Claimer(options)
  }

  // Handles one hello at a time, and none after the welcome. A claim runs a script in the registry, and a second claim
  // could get a second name for the connection.
  connect(connection: NativeConnection, frame: string): void {
    // A peer that has gone gets no name.
    if (!connection.isOpen || !connection.countExtra()) return
    if (frame[2] === '/') {
      const [namespace = '/'] = NAMESPACE.exec(frame.slice(CONNECT_LENGTH)) ?? []
      const error = protocolError('bad-frame', 'the default namespace is the only one')
      this.malformed(connection, error, () => connection.refuse(error, `${namespace},`))
      return
    }
    if (connection.isClaiming || this.#options.node.sessions.get(connection.id)?.state !== 'opening') {
      this.malformed(connection, protocolError('already-claimed', errorTexts['already-claimed']))
      return
    }
    const bytes = Buffer.byteLength(frame)
    const hello = holdsTooMuch(costOf(frame, bytes), bytes)
      ? undefined
      : readHello(frame.slice(CONNECT_LENGTH))
    if (hello === undefined) {
      const error = protocolError('bad-frame', 'a hello is a JSON object of a few fields')
      this.malformed(connection, error, () => connection.refuse(error))
      return
    }
    connection.isClaiming = true
    this.#enter(connection, hello).catch((error: unknown) => this.#options.onError(error, { stage: 'claim' }))
  }

  /** Refuses a malformed frame. `answer` sends the answer, if it is not an `error` event. */
  malformed(
    connection: NativeConnection,
    error: ProtocolError,
    answer: () => void = () => connection.fail(error),
  ): void {
    // If the peer has gone while the frame waited, the frame gets no answer.
    if (!connection.isOpen) return
    this.#options.metrics.rejected('native', error.code)
    this.#refuse(connection, () => {
      answer()
      connection.malformed++
      const most = this.#onlineSession(connection) ? MAX_MALFORMED : MAX_MALFORMED_BEFORE_NAME
      if (connection.malformed > most) connection.close('protocol')
    })
  }

  // A connection that sends fifty refused hellos and then closes costs a node some 2 ms. So above the rate of its
  // address, a connection without a name gets its answer late, and the node does not read it until then.
  #refuse(connection: NativeConnection, answer: () => void): void {
    const { clock, limits } = this.#options
    const lateMs = this.#onlineSession(connection) ? 0 : limits.refusedMs(connection.address)
    if (lateMs === 0) {
      answer()
      return
    }
    // The timer of the answer starts before the pause, so this answer goes out before frames are read again.
    clock.after(lateMs, answer)
    const over = (): void => connection.close('rate-limited', { retryAfterMs: HELLOS_RETRY_MS })
    connection.pause(lateMs, { frames: MAX_HELD_BEFORE_NAME, over })
  }

  #onlineSession(connection: NativeConnection): OnlineSession | undefined {
    const session = this.#options.node.sessions.get(connection.id)
    return session?.state === 'online' ? session : undefined
  }

  async #enter(connection: NativeConnection, hello: unknown): Promise<void> {
    const { node, metrics, onError } = this.#options
    const error = await this.#claim(connection, hello).catch((failure: unknown) => {
      onError(failure, { stage: 'claim' })
      return protocolError('registry-unavailable', 'this node failed; try again')
    })
    if (error === undefined) {
      connection.isClaiming = false
      if (connection.isOpen) this.#socketIo.join(connection)
      return
    }
    // A peer that gave up meanwhile waits only for the close.
    if (node.sessions.get(connection.id)?.state === 'closing') return
    metrics.registered('native', error.code)
    this.#refuse(connection, () => {
      connection.isClaiming = false
      connection.refuse(error)
      connection.refused++
      if (connection.refused > MAX_HELLOS) connection.close('rate-limited', { retryAfterMs: HELLOS_RETRY_MS })
    })
  }

  /**
   * Claims the name that a hello asks for. Resolves with the reason for a refusal, or with undefined if the peer has its
   * name or has gone.
   */
  async #claim(connection: NativeConnection, said: unknown): Promise<ProtocolError | undefined> {
    const hello = decodeHello(said)
    if (!hello.ok) return hello.error
    const { app, secret, token } = hello.value
    const isNameMade = hello.value.name === undefined
    const { name = mintName() } = hello.value
    const { address, request } = connection
    const { headers = {} } = request ?? {}
    const { origin } = headers
    const asked: AdmitRequest = { name, isNameMade, wire: 'native', address, headers }
    if (app !== undefined) asked.app = app
    if (token !== undefined) asked.token = token
    if (origin !== undefined) asked.origin = origin
    const claimed = await this.#claimer.claim(connection, {
      app,
      name,
      isNameMade,
      origin,
      admit: async (access) => ({ admitted: await access.admit(asked), secret }),
    })
    if (claimed === undefined) return undefined
    if (!claimed.ok) return this.#refusalOf(claimed)
    this.#options.metrics.registered('native', claimed.reclaimed ? 'reclaimed' : 'ok')
    return undefined
  }

  #refusalOf({ code, detail, waitMs, retryAfterMs }: Extract<Claimed, { ok: false }>): ProtocolError {
    if (waitMs > 0) return protocolError('rate-limited', errorTexts['rate-limited'], waitMs)
    if (detail !== undefined) return protocolError(code, detail, retryAfterMs)
    if (code === 'name-taken') return taken(this.#options.welcome(undefined))
    return protocolError(code, errorTexts[code], code === 'overloaded' ? OVERLOADED_RETRY_MS : undefined)
  }

  /** Sends the welcome after socket.io has answered the CONNECT packet. */
  #welcome(connection: NativeConnection): void {
    const { node, clock, welcome, turn, accessEnds } = this.#options
    const { app, access } = connection
    const session = this.#onlineSession(connection)
    if (session === undefined || app === undefined) return
    const { peer, lease } = session
    const { policy } = app
    const { p2pServer, ...times } = welcome(connection.request?.headers.host)
    connection.write(
      encodeNodeMessage({
        type: 'welcome',
        app: appOf(peer),
        name: nameOf(peer),
        since: lease.since,
        v: PROTOCOL_VERSION,
        node: node.id,
        p2p: { server: p2pServer, turn: turn(session, policy.turn) },
        relay: policy.relay,
        ...times,
        ...tokenMsOf(access, clock.now()),
      }),
    )
    connection.named(peer)
    accessEnds.set(connection, access)
  }
}

/** In how many milliseconds an access ends, as the SDK is told. Empty if it does not end. */
export function tokenMsOf(access: Allowed | undefined, now: number): { tokenMs?: number } {
  return access?.endsAt === undefined ? {} : { tokenMs: Math.max(0, Math.round(access.endsAt - now)) }
}

/** The hello in a CONNECT packet, or undefined if it is no JSON object. */
function readHello(text: string): unknown {
  if (text === '') return {}
  if (!text.startsWith('{')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The refusal of a held name. It is the same whether the holder is online or away, so it tells nothing about it [WH7]. */
function taken({ graceMs, pingMs }: { graceMs: number; pingMs: number }): ProtocolError {
  const [grace, silence] = [graceMs / 1_000, pingMs / 1_000]
  const until = `It is free when its holder leaves, or ${grace} s after the holder's connection has ended`
  const text = `${errorTexts['name-taken']}. ${until} (a silent connection ends within ${silence} s)`
  return protocolError('name-taken', text, graceMs + pingMs)
}
