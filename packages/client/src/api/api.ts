import { toBase64 } from '../lib/base64.js'
import { aFunction, aText, aTime, check, checkOptions, either, objectWith, type Kinds } from '../lib/check.js'
import { ApiError } from './api-error.js'
import { makeCall, type HttpCall, type HttpOptions } from './http.js'
import { Renewal, type Registration } from './registration.js'
import type {
  ActOptions,
  AppServer,
  Ban,
  BanKind,
  BatchResult,
  CallOptions,
  DisconnectOptions,
  Disconnected,
  ListedPeer,
  Member,
  MessageOptions,
  MessageResult,
  MintOptions,
  Minted,
  NodeState,
  Page,
  PageOptions,
  Revocation,
} from './types.js'

/** The options of `createApi`. */
export interface ApiOptions {
  /** The URL of a node, or of the balancer before the nodes, such as `https://tier.example`. With its `path`, if it has one. */
  url: string | URL
  /** A key of the app: one of the setting `api.keys`. Keep it on your servers. */
  key: string
  /**
   * How long a call may take with all its attempts, in milliseconds, without the time that a message waits for its recipient.
   * Default: 30,000.
   */
  timeoutMs?: number | undefined
  /** Sends the requests. Default: the global `fetch`. */
  fetch?: typeof fetch | undefined
}

const kinds: Kinds<ApiOptions> = {
  url: either(aText, objectWith('a URL', 'toString')),
  key: aText,
  timeoutMs: aTime,
  fetch: aFunction,
}

/** How long the node waits for the acknowledgement of a message without `timeoutMs`. */
const SEND_MS = 10_000

/**
 * The API of a tier for an application server: it sees and steers the peers of one app. A method has the name of its
 * operation in the OpenAPI document, which a node serves at `/v1/openapi.json`.
 *
 * A call is repeated while it fails for a passing reason, for at most `timeoutMs`. A call that acts has an
 * `Idempotency-Key`, so its attempts act once. Only if a node dies before it has answered, a further attempt may act again.
 *
 * Every method rejects with an `ApiError` if the call was not carried out.
 */
export class Api {
  readonly #http: HttpOptions

  /** @internal Call `createApi` instead. */
  constructor(http: HttpOptions) {
    this.#http = http
  }

  /** A page of the peers of the app, on all nodes. The order has no meaning. */
  listPeers(
    options: PageOptions & { state?: 'online' | 'away' | undefined } = {},
  ): Promise<Page & { peers: ListedPeer[] }> {
    return this.#list('peers', options, { state: options.state })
  }

  /** All peers of the app, page by page. A peer that comes or goes meanwhile may be missing. */
  async *allPeers(
    options: CallOptions & { state?: 'online' | 'away' | undefined } = {},
  ): AsyncGenerator<ListedPeer> {
    let cursor: string | undefined
    do {
      const { peers, next }: Page & { peers: ListedPeer[] } = await this.listPeers({
        ...options,
        limit: 1_000,
        cursor,
      })
      yield* peers
      cursor = next
    } while (cursor !== undefined)
  }

  /** How many names of the app are online or away. */
  async countPeers(options: CallOptions = {}): Promise<number> {
    const { count } = await this.#ask<{ count: number }>({ method: 'GET', path: 'peers/count', ...options })
    return count
  }

  /** The peer with this name. Undefined: nobody holds it. */
  getPeer(name: string, options: CallOptions = {}): Promise<ListedPeer | undefined> {
    // The path peers/count is another operation.
    const path = `peers/${name === 'count' ? '%63ount' : segment(name)}`
    return this.#find({ method: 'GET', path, ...options })
  }

  /**
   * Sends a message to a peer: a JSON value, a string, or bytes. Resolves when its SDK has acknowledged it, or with the
   * reason why not. The recipient gets it as a `message` event whose last argument has `server: true`.
   *
   * @throws ApiError `incompatible` if the peer uses PeerJS, and `too-large` over 196,599 ASCII characters
   *
   * @example
   * const result = await api.sendToPeer('alice', { text: 'hello' }, { timeoutMs: 5_000 })
   * if (result !== 'delivered') await mail('alice')
   */
  async sendToPeer(name: string, data: unknown, options: MessageOptions = {}): Promise<MessageResult> {
    const { timeoutMs, ...more } = options
    const path = `peers/${segment(name)}/messages`
    const { result } = await this.#act<{ result: MessageResult }>(
      { path, body: { ...contentOf(data), timeoutMs }, waitMs: timeoutMs ?? SEND_MS },
      more,
    )
    return result
  }

  /** Sends a message to at most 100 peers. Each has a result of its own, in the order of `to`. */
  async sendToPeers(
    to: readonly string[],
    data: unknown,
    options: MessageOptions = {},
  ): Promise<{ name: string; result: BatchResult }[]> {
    const { timeoutMs, ...more } = options
    const { results } = await this.#act<{ results: { name: string; result: BatchResult }[] }>(
      { path: 'messages', body: { to, ...contentOf(data), timeoutMs }, waitMs: timeoutMs ?? SEND_MS },
      more,
    )
    return results
  }

  /** Sends a message to all peers that are online. Resolves at once, with the number of names; there is no result. */
  async broadcast(data: unknown, options: ActOptions = {}): Promise<{ peers: number }> {
    const { peers } = await this.#act<{ peers: number }>(
      { path: 'broadcast', body: contentOf(data) },
      options,
    )
    return { peers }
  }

  /** Sends a message to the members of a room. Resolves when the nodes of the members were told, and says no more. */
  async sendToRoom(room: string, data: unknown, options: ActOptions = {}): Promise<void> {
    await this.#act({ path: `rooms/${segment(room)}/messages`, body: contentOf(data) }, options)
  }

  /** A page of the members of a room. */
  listMembers(room: string, options: PageOptions = {}): Promise<Page & { members: Member[] }> {
    return this.#list(`rooms/${segment(room)}/members`, options)
  }

  /** Closes the connection of the holder of a name and frees the name. With `banMs` nobody can claim it until then. */
  disconnectPeer(name: string, options: DisconnectOptions = {}): Promise<Disconnected> {
    return this.#disconnect(`peers/${segment(name)}/disconnect`, options)
  }

  /** Closes every connection of an identity (the `sub` of a token). With `banMs` it cannot come in until then. */
  disconnectIdentity(sub: string, options: DisconnectOptions = {}): Promise<Disconnected> {
    return this.#disconnect(`identities/${segment(sub)}/disconnect`, options)
  }

  /** A page of the bans and revocations. */
  listBans(options: PageOptions = {}): Promise<Page & { bans: Ban[] }> {
    return this.#list('bans', options)
  }

  /** Ends a ban or a revocation. False: there is none. */
  liftBan(kind: BanKind, value: string, options: CallOptions = {}): Promise<boolean> {
    return this.#remove(`bans/${segment(kind)}/${segment(value)}`, options)
  }

  /**
   * Mints an access token for a peer of the app.
   * @throws ApiError `no-signing-key` if the app has no `access.token.secret`
   */
  mintToken({ signal, ...body }: MintOptions): Promise<Minted> {
    return this.#ask({ method: 'POST', path: 'tokens', body, signal })
  }

  /** Revokes one token, or all tokens of a `sub` that were issued before a time, and closes their connections. */
  revokeTokens(what: Revocation, options: ActOptions = {}): Promise<Disconnected> {
    return this.#act({ path: 'revocations', body: what }, options)
  }

  /** The nodes of the cluster, as the answering node sees them. */
  async listNodes(options: CallOptions = {}): Promise<NodeState[]> {
    const { nodes } = await this.#ask<{ nodes: NodeState[] }>({ method: 'GET', path: 'nodes', ...options })
    return nodes
  }

  /** A page of the application servers. */
  listServers(options: PageOptions = {}): Promise<Page & { servers: AppServer[] }> {
    return this.#list('servers', options)
  }

  /** The application server with this id. Undefined: there is none. */
  getServer(id: string, options: CallOptions = {}): Promise<AppServer | undefined> {
    return this.#find({ method: 'GET', path: `servers/${segment(id)}`, ...options })
  }

  /** Registers an application server for 30 seconds. See `registerServer`, which renews it. */
  putServer(
    { id, ...body }: { id: string; address: string; status?: string | undefined },
    options: CallOptions = {},
  ): Promise<AppServer & { ttlMs: number }> {
    return this.#ask({ method: 'PUT', path: `servers/${segment(id)}`, body, ...options })
  }

  /** Removes the registration of an application server. False: there is none. */
  removeServer(id: string, options: CallOptions = {}): Promise<boolean> {
    return this.#remove(`servers/${segment(id)}`, options)
  }

  /**
   * Registers an application server, and renews the registration every 10 seconds until `stop`. Resolves when it is
   * registered. `onError` gets the errors of renewals, which are tried again. Default: the console gets them.
   *
   * @example
   * const registration = await api.registerServer({ id: 'web-1', address: 'https://web-1.example' })
   * process.once('SIGTERM', () => registration.stop())
   */
  async registerServer({
    onError = (error) => console.warn(error),
    ...server
  }: {
    id: string
    address: string
    status?: string | undefined
    onError?: (error: unknown) => void
  }): Promise<Registration> {
    let now = server
    const put = async (): Promise<void> => void (await this.putServer(now))
    const remove = async (): Promise<void> => void (await this.removeServer(now.id))
    const renewal = new Renewal({ put, remove, onError })
    await renewal.start()
    return {
      update: (changes) => {
        now = { ...now, ...changes }
        return put()
      },
      stop: () => renewal.stop(),
    }
  }

  #disconnect(path: string, { code, reason, banMs, ...options }: DisconnectOptions): Promise<Disconnected> {
    return this.#act({ path, body: { code, reason, banMs } }, options)
  }

  #list<T>(
    path: string,
    { limit, cursor, signal }: PageOptions,
    more: Record<string, string | undefined> = {},
  ): Promise<T> {
    return this.#ask({ method: 'GET', path, query: { limit, cursor, ...more }, signal })
  }

  #act<T>(call: Omit<HttpCall, 'method'>, { idempotencyKey, signal }: ActOptions): Promise<T> {
    return this.#ask({
      ...call,
      method: 'POST',
      idempotencyKey: idempotencyKey ?? crypto.randomUUID(),
      signal,
    })
  }

  /** Resolves with undefined if there is no such thing. */
  async #find<T>(call: HttpCall): Promise<T | undefined> {
    try {
      return await this.#ask<T>(call)
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }

  async #remove(path: string, { signal }: CallOptions): Promise<boolean> {
    try {
      await this.#ask({ method: 'DELETE', path, signal })
      return true
    } catch (error) {
      if (isNotFound(error)) return false
      throw error
    }
  }

  // The node has checked its own answer against the schemas from which these types follow.
  async #ask<T>(call: HttpCall): Promise<T> {
    return (await makeCall(this.#http, call)) as T
  }
}

/**
 * Makes the API of one app for an application server. It connects to nothing before the first call.
 *
 * @throws TypeError for an unknown option, or an option with a wrong value
 *
 * @example
 * import { createApi } from '@peerage/client/api'
 *
 * const api = createApi({ url: 'https://tier.example', key: process.env.PEERAGE_API_KEY ?? '' })
 * console.log(await api.countPeers())
 * await api.sendToPeer('alice', { text: 'hello' })
 */
export function createApi(options: ApiOptions): Api {
  checkOptions(options, kinds)
  const { url, key, timeoutMs = 30_000, fetch: send = fetch } = options
  check('url', options.url, kinds.url)
  check('key', key, aText)
  const parsed = new URL(url)
  if (parsed.protocol !== 'https:' && parsed.protocol !== 'http:')
    throw new TypeError('`url` must begin with https:// or http://')
  // Not shown, because it is a secret.
  if (!/^[\x21-\x7e]+$/.test(key)) throw new TypeError('`key` must be a key of the setting api.keys')
  const path = parsed.pathname.endsWith('/') ? parsed.pathname : `${parsed.pathname}/`
  return new Api({ base: `${parsed.origin}${path}v1/`, key, timeoutMs, fetch: send })
}

function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.code === 'not-found'
}

/** A JSON value as it is, or bytes in base64. */
function contentOf(data: unknown): { data: unknown } | { base64: string } {
  if (data instanceof ArrayBuffer) return { base64: toBase64(new Uint8Array(data)) }
  if (ArrayBuffer.isView(data))
    return { base64: toBase64(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)) }
  if (data === undefined)
    throw new TypeError('`data` must be a JSON value, a string or bytes; it is undefined')
  return { data }
}

/** A text as one segment of a path. */
function segment(text: string): string {
  check('a name or an id', text, aText)
  // Every URL parser takes these away, also when they are escaped.
  if (text === '.' || text === '..')
    throw new TypeError(
      `${JSON.stringify(text)} cannot be written in a URL; sendToPeers can send to a peer of this name`,
    )
  return encodeURIComponent(text)
}
