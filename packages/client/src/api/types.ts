// The options of the typed client, and what the API of a node reads and answers. A test compares this with the OpenAPI
// document of a node.

/** The options of `createApi`. */
export interface ApiOptions {
  /**
   * The URL of a node, or of the balancer before the nodes, such as `https://tier.example`. With its `path`, if it has one.
   * The client adds `/v1`, unless the URL ends with it.
   */
  url: string | URL
  /** A key of the app: one of the setting `api.keys`. One line break at its end is dropped. Keep it on your servers. */
  key: string
  /**
   * How long a call may take with all its attempts, in milliseconds, without the time that a message waits for its recipient.
   * Default: 30,000.
   */
  timeoutMs?: number | undefined
  /** Sends the requests. Default: the global `fetch`. */
  fetch?: typeof fetch | undefined
}

/** One peer of the app. */
export interface ListedPeer {
  /** The name that it holds. */
  name: string
  /** `away`: its connection was lost, and the name is kept for it during the node's grace. */
  state: 'online' | 'away'
  /** When the peer claimed the name, in Unix milliseconds. Another value means another holder. */
  since: number
  /** The id of the node that the peer is connected to, or was. */
  node?: string
}

/** One member of a room. */
export interface Member {
  /** The name that it holds. */
  name: string
  /** As of a `ListedPeer`. */
  state: 'online' | 'away'
  /** As of a `ListedPeer`. */
  since: number
}

/** A page of a list. */
export interface Page {
  /** The cursor of the next page. Absent: this is the last one. A page may be short, even empty, and have a next one. */
  next?: string
}

/** Which page of a list. */
export interface PageOptions extends CallOptions {
  /** The most entries of the page: at most 1,000, of the members of a room 256. */
  limit?: number | undefined
  /** `next` of the page before. */
  cursor?: string | undefined
}

/** Which peers of the app. */
export interface PeersOptions extends PageOptions {
  /** Only peers in this state. Default: all. */
  state?: 'online' | 'away' | undefined
}

/** The options of every call. */
export interface CallOptions {
  /** Ends the call when the signal aborts. The promise then rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** The options of calls that act. */
export interface ActOptions extends CallOptions {
  /**
   * The same key for the same request keeps it from acting twice within 24 hours: 1 to 255 visible ASCII characters.
   * Default: a random key for each call, so that the attempts of one call act once. Pass your own if you repeat the call
   * after your own process has ended.
   */
  idempotencyKey?: string | undefined
}

/** The options of a message to peers. */
export interface MessageOptions extends ActOptions {
  /** How long to wait for the acknowledgement, in milliseconds: at most 30,000. Default: 10,000. */
  timeoutMs?: number | undefined
}

/**
 * How a message ended. `delivered`: the SDK of the recipient has handed it to its application. `unavailable`: nobody holds
 * the name. `away`: no acknowledgement came in time, and the recipient is not connected. `timeout`: no acknowledgement came
 * in time. After `away` and `timeout` the message may still have arrived.
 */
export type MessageResult = 'delivered' | 'away' | 'unavailable' | 'timeout'

/** How a message to one of many peers ended: as to a single peer, or with the code of the problem that this would have had. */
export type BatchResult = MessageResult | 'incompatible' | 'rate-limited' | 'store-unavailable'

/** The options of a disconnect. */
export interface DisconnectOptions extends ActOptions {
  /**
   * The close code. After 4400 to 4499 the SDK of the peer connects again; after 4900 to 4999 and 4505 it does not. Default:
   * 4505.
   */
  code?: number | undefined
  /** A text for the application of the peer: at most 123 bytes of UTF-8. */
  reason?: string | undefined
  /** For how long the name or the identity may not come in again, in milliseconds. Default: no ban. */
  banMs?: number | undefined
}

/** What a disconnect or a revocation did. */
export interface Disconnected {
  /**
   * How many peers it was: connections that were closed, and a name that was away and is free now. Null: not known, because
   * other nodes close them, or the store does not say who holds the name.
   */
  closed: number | null
  /** When the ban or the revocation ends, in Unix milliseconds. Absent: there is none. */
  until?: number
}

/** `tokens`: all tokens of a `sub` that were issued before a time. */
export type BanKind = 'name' | 'identity' | 'token' | 'tokens'

/** A ban or a revocation. */
export interface Ban {
  /** What `value` is. */
  kind: BanKind
  /** The name, the identity, the `jti` of the token, or the `sub` of the tokens. */
  value: string
  /** When it ends, in Unix milliseconds. */
  until: number
  /** Of `tokens`: only those that were issued before this are void, in Unix milliseconds. */
  before?: number
}

/** Texts: these ones, and those that begin with one of the prefixes. */
export interface AllowList {
  /** At most 100 texts. */
  names?: string[]
  /** At most 100. There are no wildcards. */
  prefixes?: string[]
}

/** What a token grants in addition to its name. Whatever is absent is not restricted beyond the rules of the app. */
export interface Grants {
  /** The names that the token may claim. Absent: only `sub`. */
  claim?: AllowList
  /** The rooms that it may join. */
  rooms?: AllowList
  /** The names that it may send to. */
  to?: AllowList
  /** Rates of its connection. Each counts only if it is lower than that of the app. */
  limits?: { messagesPerSecond?: number; bytesPerSecond?: number; lookupsPerSecond?: number }
  /** Whether it may list the names, on a wire that can. */
  discovery?: boolean
}

/** A token to mint. */
export interface MintOptions extends CallOptions {
  /** The identity of the peer, and its name unless `peerage.claim` says otherwise. */
  sub: string
  /** How long the token is valid, in milliseconds. Default: an hour. */
  ttlMs?: number | undefined
  /** What else it grants: its claim `peerage`. */
  peerage?: Grants | undefined
}

/** A minted token. */
export interface Minted {
  /** What the peer presents: the option `token` of `connect`. */
  token: string
  /** By this the token can be revoked. */
  jti: string
  /** When the token ends, in Unix milliseconds. */
  expiresAt: number
}

/**
 * One token, or all tokens of a `sub` that were issued before a time. Times are Unix milliseconds; the claims of a token
 * are in seconds. `before`: default now. `expiresAt`: when the last of these tokens ends. Give it for tokens that end
 * further ahead than the setting `access.token.lifetimeMs`, so that the revocation lasts as long as they do.
 */
export type Revocation =
  | { jti: string; expiresAt?: number | undefined }
  | { sub: string; before?: number | undefined; expiresAt?: number | undefined }

/** A node of the cluster. */
export interface NodeState {
  /** It is new at every start. */
  id: string
  /** `dead`: its lease has ended, and its names may still wait for their peers. */
  state: 'live' | 'dead'
}

/** An application server that has registered itself. */
export interface AppServer {
  /** 1 to 64 characters of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`. */
  id: string
  /** Where the server is reached, such as a URL: at most 256 characters. */
  address: string
  /** A word of your choice: at most 64 characters. */
  status: string
}

/** An application server to register. */
export interface ServerOptions {
  /** As of an `AppServer`. */
  id: string
  /** As of an `AppServer`. */
  address: string
  /** As of an `AppServer`. Default: `up`. */
  status?: string | undefined
}

/** An application server to register, and who gets the errors of its renewals. */
export interface RegisterOptions extends ServerOptions {
  /** Gets the errors of renewals, which are tried again. Default: the console gets them. */
  onError?: ((error: unknown) => void) | undefined
}

/**
 * The codes of the problems that the API answers with. They are stable. The number is the HTTP status. After 429 and 503,
 * and after 409 `in-progress`, the typed client tries again by itself.
 */
export type ApiErrorCode =
  /** 400: a value of the request is wrong. `errors` names each one. */
  | 'bad-request'
  /** 400: the cursor is of another list or another app. Begin again without a cursor. */
  | 'bad-cursor'
  /** 401: the key is missing, or no app of this node has it in `api.keys`. */
  | 'unauthorized'
  /** 404: nothing has this name or id, or there is no such path. */
  | 'not-found'
  /** 405: the path has no such method. The header `Allow` names those that it has. */
  | 'method-not-allowed'
  /** 408: the body did not arrive within 10 seconds. */
  | 'request-timeout'
  /** 409: the peer cannot read messages of the API, for example because it uses PeerJS. */
  | 'incompatible'
  /** 409: a request with this Idempotency-Key is under way. Wait as `Retry-After` says. */
  | 'in-progress'
  /** 409: the app has no `access.token.secret`. Mint its tokens where its signing key is. */
  | 'no-signing-key'
  /** 409: the app has as many bans or servers as it may have. */
  | 'too-many'
  /** 413: the message or the body is too large. */
  | 'too-large'
  /** 415: the body is not sent as `application/json`, or it has a `Content-Encoding`. */
  | 'unsupported-media-type'
  /** 422: another request used this Idempotency-Key within 24 hours. Use a new key for a new request. */
  | 'idempotency-mismatch'
  /** 429: too many requests, messages or wrong keys. Wait as `Retry-After` says. */
  | 'rate-limited'
  /** 500: the node failed. Its log says why. */
  | 'internal'
  /** 503: this node is shutting down. Send the request to another one. */
  | 'draining'
  /** 503: the store of the nodes, such as Redis, does not answer. `detail` says whether something may have been done. */
  | 'store-unavailable'
  /** No answer came: the node cannot be reached, or the time of the call is over. */
  | 'unreachable'
  /** What answered is no API of a node: check the URL. */
  | 'not-an-api'
