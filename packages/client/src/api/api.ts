import { checkOptions } from '../lib/check.js'
import { ApiError } from './api-error.js'
import { contentOf, httpOptionsOf, segment } from './arguments.js'
import { makeCall, type HttpCall, type HttpOptions } from './http.js'
import { checked, kinds } from './options.js'
import { Renewal, type Registration } from './registration.js'
import type {
  ActOptions,
  ApiOptions,
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
  PeersOptions,
  RegisterOptions,
  Revocation,
  ServerOptions,
} from './types.js'

/** How long the node waits for the acknowledgement of a message without `timeoutMs`. */
const SEND_MS = 10_000

/**
 * The API of a tier for an application server: it sees and steers the peers of one app. A method has the name of its
 * operation in the OpenAPI document, which a node serves at `/v1/openapi.json`.
 *
 * A call is repeated while it fails for a passing reason, for at most `timeoutMs`. A call that acts has an
 * `Idempotency-Key`, so its attempts act once. Only if a node dies before it has answered, a further attempt may act again.
 *
 * Every method rejects with an `ApiError` if no node has answered that the call was carried out. After `unreachable` and
 * `store-unavailable` it may have been carried out all the same. A wrong argument or an unknown option is a TypeError.
 */
export class Api {
  readonly #http: HttpOptions

  /** @internal Call `createApi` instead. */
  constructor(http: HttpOptions) {
    this.#http = http
  }

  /** A page of the peers of the app, on all nodes. The order has no meaning. */
  async listPeers(options: PeersOptions = {}): Promise<Page & { peers: ListedPeer[] }> {
    const { state, ...page } = checked(options, kinds.peers)
    return this.#list('peers', ['peers'], page, { state })
  }

  /** All peers of the app, page by page. A peer that comes or goes meanwhile may be missing. */
  async *allPeers(
    options: CallOptions & { state?: 'online' | 'away' | undefined } = {},
  ): AsyncGenerator<ListedPeer> {
    checkOptions(options, kinds.allPeers)
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
    const { count } = await this.#get<{ count: number }>('peers/count', ['count'], options)
    return count
  }

  /** The peer with this name. Undefined: nobody holds it. */
  async getPeer(name: string, options: CallOptions = {}): Promise<ListedPeer | undefined> {
    // The path peers/count is another operation.
    const path = `peers/${name === 'count' ? '%63ount' : segment('name', name)}`
    return orUndefined(this.#get<ListedPeer>(path, ['name', 'state', 'since'], options))
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
    const { timeoutMs, ...more } = checked(options, kinds.message)
    const path = `peers/${segment('name', name)}/messages`
    const { result } = await this.#act<{ result: MessageResult }>(
      { path, body: { ...contentOf(data), timeoutMs }, waitMs: timeoutMs ?? SEND_MS, answer: ['result'] },
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
    const { timeoutMs, ...more } = checked(options, kinds.message)
    const body = { to, ...contentOf(data), timeoutMs }
    const { results } = await this.#act<{ results: { name: string; result: BatchResult }[] }>(
      { path: 'messages', body, waitMs: timeoutMs ?? SEND_MS, answer: ['results'] },
      more,
    )
    return results
  }

  /** Sends a message to all peers that are online. Resolves at once, with the number of names; there is no result. */
  async broadcast(data: unknown, options: ActOptions = {}): Promise<{ peers: number }> {
    const call = { path: 'broadcast', body: contentOf(data), answer: ['peers'] }
    const { peers } = await this.#act<{ peers: number }>(call, checked(options, kinds.act))
    return { peers }
  }

  /** Sends a message to the members of a room. Resolves when the nodes of the members were told, and says no more. */
  async sendToRoom(room: string, data: unknown, options: ActOptions = {}): Promise<void> {
    const path = `rooms/${segment('room', room)}/messages`
    await this.#act({ path, body: contentOf(data), answer: ['result'] }, checked(options, kinds.act))
  }

  /** A page of the members of a room. */
  async listMembers(room: string, options: PageOptions = {}): Promise<Page & { members: Member[] }> {
    return this.#list(`rooms/${segment('room', room)}/members`, ['members'], checked(options, kinds.page))
  }

  /** Closes the connection of the holder of a name and frees the name. With `banMs` nobody can claim it until then. */
  async disconnectPeer(name: string, options: DisconnectOptions = {}): Promise<Disconnected> {
    return this.#disconnect(`peers/${segment('name', name)}/disconnect`, options)
  }

  /** Closes every connection of an identity (the `sub` of a token). With `banMs` it cannot come in until then. */
  async disconnectIdentity(sub: string, options: DisconnectOptions = {}): Promise<Disconnected> {
    return this.#disconnect(`identities/${segment('sub', sub)}/disconnect`, options)
  }

  /** A page of the bans and revocations. */
  async listBans(options: PageOptions = {}): Promise<Page & { bans: Ban[] }> {
    return this.#list('bans', ['bans'], checked(options, kinds.page))
  }

  /** Ends a ban or a revocation. False: there is none. */
  async liftBan(kind: BanKind, value: string, options: CallOptions = {}): Promise<boolean> {
    return this.#remove(`bans/${segment('kind', kind)}/${segment('value', value)}`, options)
  }

  /**
   * Mints an access token for a peer of the app.
   * @throws ApiError `no-signing-key` if the app has no `access.token.secret`
   */
  async mintToken(options: MintOptions): Promise<Minted> {
    const { signal, ...body } = checked(options, kinds.mint)
    return this.#ask({ method: 'POST', path: 'tokens', body, answer: ['token', 'jti', 'expiresAt'], signal })
  }

  /**
   * Revokes one token, or all tokens of a `sub` that were issued before a time, and closes their connections as at the end
   * of a token. A peer whose `token` is a function comes back with a fresh one.
   */
  async revokeTokens(what: Revocation, options: ActOptions = {}): Promise<Disconnected> {
    checkOptions<object>(what, kinds.revocation, 'the revocation')
    const call = { path: 'revocations', body: what, answer: ['closed', 'until'] }
    return this.#act(call, checked(options, kinds.act))
  }

  /** The nodes of the cluster, as the answering node sees them. */
  async listNodes(options: CallOptions = {}): Promise<NodeState[]> {
    const { nodes } = await this.#get<{ nodes: NodeState[] }>('nodes', ['nodes'], options)
    return nodes
  }

  /** A page of the application servers. */
  async listServers(options: PageOptions = {}): Promise<Page & { servers: AppServer[] }> {
    return this.#list('servers', ['servers'], checked(options, kinds.page))
  }

  /** The application server with this id. Undefined: there is none. */
  async getServer(id: string, options: CallOptions = {}): Promise<AppServer | undefined> {
    return orUndefined(
      this.#get<AppServer>(`servers/${segment('id', id)}`, ['id', 'address', 'status'], options),
    )
  }

  /** Registers an application server for 30 seconds. See `registerServer`, which renews it. */
  async putServer(server: ServerOptions, options: CallOptions = {}): Promise<AppServer & { ttlMs: number }> {
    const { id, ...body } = checked(server, kinds.server)
    const { signal } = checked(options, kinds.call)
    const answer = ['id', 'address', 'status', 'ttlMs']
    return this.#ask({ method: 'PUT', path: `servers/${segment('id', id)}`, body, answer, signal })
  }

  /** Removes the registration of an application server. False: there is none. */
  async removeServer(id: string, options: CallOptions = {}): Promise<boolean> {
    return this.#remove(`servers/${segment('id', id)}`, options)
  }

  /**
   * Registers an application server, and renews the registration every 10 seconds until `stop`. Resolves when it is
   * registered.
   *
   * @example
   * const registration = await api.registerServer({ id: 'web-1', address: 'https://web-1.example' })
   * process.once('SIGTERM', () => registration.stop())
   */
  async registerServer(options: RegisterOptions): Promise<Registration> {
    const { onError = (error: unknown) => console.warn(error), ...server } = checked(
      options,
      kinds.registration,
    )
    let now = server
    const put = async (): Promise<void> => void (await this.putServer(now))
    const remove = async (): Promise<void> => void (await this.removeServer(now.id))
    const renewal = new Renewal({ put, remove, onError })
    await renewal.start()
    return {
      update: async (changes) => {
        now = { ...now, ...checked(changes, kinds.change) }
        await put()
      },
      stop: () => renewal.stop(),
    }
  }

  async #disconnect(path: string, options: DisconnectOptions): Promise<Disconnected> {
    const { code, reason, banMs, ...more } = checked(options, kinds.disconnect)
    return this.#act({ path, body: { code, reason, banMs }, answer: ['closed'] }, more)
  }

  #list<T>(
    path: string,
    answer: readonly string[],
    { limit, cursor, signal }: PageOptions,
    more: Record<string, string | undefined> = {},
  ): Promise<T> {
    return this.#ask({ method: 'GET', path, query: { limit, cursor, ...more }, answer, signal })
  }

  #get<T>(path: string, answer: readonly string[], options: CallOptions): Promise<T> {
    const { signal } = checked(options, kinds.call)
    return this.#ask({ method: 'GET', path, answer, signal })
  }

  #act<T>(call: Omit<HttpCall, 'method'>, { idempotencyKey, signal }: ActOptions): Promise<T> {
    return this.#ask({
      ...call,
      method: 'POST',
      idempotencyKey: idempotencyKey ?? crypto.randomUUID(),
      signal,
    })
  }

  async #remove(path: string, options: CallOptions): Promise<boolean> {
    const { signal } = checked(options, kinds.call)
    return (
      (await orUndefined(this.#ask({ method: 'DELETE', path, answer: [], signal }).then(() => true))) ?? false
    )
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
  return new Api(httpOptionsOf(options))
}

/** Resolves with undefined if there is no such thing. */
async function orUndefined<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof ApiError && error.code === 'not-found') return undefined
    throw error
  }
}
