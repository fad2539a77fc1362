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
import { costOf, holdsTooMuch } from '../shared/frame-cost.js'
import type { AdmitRequest, Claimed } from '../shared/access.js'
import { Claimer } from '../shared/access.js'
import type { NativeConnection } from './connection.js'
import type { NativeGatewayOptions } from './options.js'
import { SocketIo } from './socketio.js'

/** Where so many claims wait that no more may: most of them are answered by then. */
const OVERLOADED_RETRY_MS = 2_000
/** After so many frames that are no messages, the connection is closed with `protocol`. */
const MALFORMED_MOST = 20
/** Without a name, after so many: a connection is cheap to have, and each answer costs. */
const MALFORMED_BEFORE_NAME_MOST = 5
/** So many frames may come before a late answer; with more the connection is closed after it. */
const HELD_BEFORE_NAME_MOST = 20
/** After so many refused hellos, a connection is closed with `rate-limited`. */
const HELLOS_MOST = 20
const HELLOS_RETRY_MS = 5_000

const CONNECT_LENGTH = '40'.length
/** As much of its name as is told back. */
const NAMESPACE = /^\/[^,]{0,63}/

/** From a hello to a name and a welcome, or to why not. */
export class NativeEntry {
  readonly #options: NativeGatewayOptions
  readonly #claimer: Claimer
  readonly #socketIo = new SocketIo((connection) => this.#welcome(connection))

  constructor(options: NativeGatewayOptions) {
    this.#options = options
    this.#claimer = new Claimer(options)
  }

  // One hello at a time, and none after the one that was welcome: a claim costs the registry a script, and a second one
  // could win a second name.
  connect(connection: NativeConnection, frame: string): void {
    // Who has gone gets no name.
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

  /** `answer`: what the peer is told, where it is not an `error` event. */
  malformed(
    connection: NativeConnection,
    error: ProtocolError,
    answer: () => void = () => connection.fail(error),
  ): void {
    // What waited when its peer went gets no answer.
    if (!connection.isOpen) return
    this.#options.metrics.rejected('native', error.code)
    this.#refuse(connection, () => {
      answer()
      connection.malformed++
      const most = this.#onlineSession(connection) ? MALFORMED_MOST : MALFORMED_BEFORE_NAME_MOST
      if (connection.malformed > most) connection.close('protocol')
    })
  }

  // A connection that sends fifty hellos, hears no and goes costs a node some 2 ms. Over the rate of its address, who has
  // no name is answered late, and not read meanwhile.
  #refuse(connection: NativeConnection, answer: () => void): void {
    const { clock, limits } = this.#options
    const lateMs = this.#onlineSession(connection) ? 0 : limits.refusedMs(connection.address)
    if (lateMs === 0) {
      answer()
      return
    }
    // First the answer: what is read after the pause is answered after it.
    clock.after(lateMs, answer)
    const over = (): void => connection.close('rate-limited', HELLOS_RETRY_MS)
    connection.pause(lateMs, { frames: HELD_BEFORE_NAME_MOST, over })
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
    // Who gave up meanwhile waits for the close alone.
    if (node.sessions.get(connection.id)?.state === 'closing') return
    metrics.registered('native', error.code)
    this.#refuse(connection, () => {
      connection.isClaiming = false
      connection.refuse(error)
      connection.refused++
      if (connection.refused > HELLOS_MOST) connection.close('rate-limited', HELLOS_RETRY_MS)
    })
  }

  /**
   * Claims the name that a hello asks for. Resolves with why it is refused, or with undefined: the peer has its name, or
   * has gone.
   */
  async #claim(connection: NativeConnection, said: unknown): Promise<ProtocolError | undefined> {
    const hello = decodeHello(said)
    if (!hello.ok) return hello.error
    const { app, name = mintName(), secret, token } = hello.value
    const { address, request } = connection
    const origin = request?.headers.origin
    const asked: AdmitRequest = { name, wire: 'native', address }
    if (app !== undefined) asked.app = app
    if (token !== undefined) asked.token = token
    if (origin !== undefined) asked.origin = origin
    const claimed = await this.#claimer.claim(connection, {
      name,
      admit: async (access) => ({ admitted: await access.admit(asked), secret }),
    })
    if (claimed === undefined) return undefined
    if (!claimed.ok) return this.#refusalOf(claimed)
    this.#options.metrics.registered('native', claimed.reclaimed ? 'reclaimed' : 'ok')
    return undefined
  }

  #refusalOf({ code, detail, waitMs }: Extract<Claimed, { ok: false }>): ProtocolError {
    if (waitMs > 0) return protocolError('rate-limited', errorTexts['rate-limited'], waitMs)
    if (detail !== undefined) return protocolError(code, detail)
    if (code === 'name-taken') return taken(this.#options.welcome(undefined))
    return protocolError(code, errorTexts[code], code === 'overloaded' ? OVERLOADED_RETRY_MS : undefined)
  }

  /** socket.io has answered the hello. */
  #welcome(connection: NativeConnection): void {
    const { node, relay, welcome, turn } = this.#options
    const session = this.#onlineSession(connection)
    if (session === undefined) return
    const { peer, lease } = session
    const { p2pServer, ...times } = welcome(connection.request?.headers.host)
    connection.write(
      encodeNodeMessage({
        type: 'welcome',
        app: appOf(peer),
        name: nameOf(peer),
        since: lease.since,
        v: PROTOCOL_VERSION,
        node: node.id,
        p2p: { server: p2pServer, turn: turn(session) },
        relay,
        ...times,
      }),
    )
    connection.named(peer)
  }
}

/** What a CONNECT packet says; undefined: no JSON object. */
function readHello(text: string): unknown {
  if (text === '') return {}
  if (!text.startsWith('{')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The same of every name, whether its holder is there or away: who may not have it learns nothing of that one [WH7]. */
function taken({ graceMs, pingMs }: { graceMs: number; pingMs: number }): ProtocolError {
  const [grace, silence] = [graceMs / 1_000, pingMs / 1_000]
  const until = `It is free when that one leaves, or ${grace} s after its connection has ended`
  const text = `${errorTexts['name-taken']}. ${until} (one that falls silent ends within ${silence} s)`
  return protocolError('name-taken', text, graceMs + pingMs)
}
