import type { CloseReason, ErrorCode } from '@peerage/protocol'
import { finalTexts } from '@peerage/protocol'

/**
 * Why a message was not delivered (protocol SPEC.md, WD4).
 *
 * | code | what happened |
 * |---|---|
 * | `unavailable` | Nobody holds the name, or another peer holds it now. With `via: 'p2p-only'`: no channel is open. |
 * | `forbidden` | The access rules do not allow this peer to send to this name, or the name is that of an application server. Nothing was sent. |
 * | `timeout` | No acknowledgement came by the deadline. The message may have arrived. |
 * | `rate-limited` | A rate limit of the node held the message back until the deadline. It did not arrive. |
 * | `queue-full` | 1,024 messages or 8 MiB of this peer are unacknowledged (WD11). `send` rejects at once, and nothing was sent. |
 * | `too-large` | The message is over the size limit. `send` rejects at once, and nothing was sent. |
 * | `incompatible` | The other peer cannot read the message: it uses PeerJS, or another version of this SDK. |
 * | `relay-refused` | The relay policy of the node does not allow this message to go through the server. |
 * | `aborted` | The `signal` of the call was aborted. The message may have arrived. |
 * | `closed` | This peer was closed or has left. The message may have arrived. |
 */
export type SendFailure =
  | 'unavailable'
  | 'forbidden'
  | 'timeout'
  | 'rate-limited'
  | 'queue-full'
  | 'too-large'
  | 'incompatible'
  | 'relay-refused'
  | 'aborted'
  | 'closed'

/**
 * Every value of `PeerageError.code`. The codes of `SendFailure` say why a message was not delivered. These are the
 * other codes.
 *
 * A node refused a request (protocol SPEC.md, section 6):
 *
 * | code | what happened |
 * |---|---|
 * | `name-taken` | Another peer holds the name: it is connected, or it may still come back. |
 * | `bad-token` | The access token is missing or not valid here, and the text says which rule it breaks. If `token` is a function, `connect` tries three times. |
 * | `token-expired` | The access token has expired. If `token` is a function, the SDK asks for a new one and tries again. |
 * | `forbidden` | The access rules do not allow the request: check `token`, `app`, `name` and the name of the room. Also: `mesh` was called while P2P is disabled. |
 * | `banned` | An application server has banned this name or this user. `retryAfterMs` says for how long, if the node knows it. |
 * | `access-unavailable` | The access rules cannot be checked at the moment. The SDK tries again. |
 * | `bad-name` | A name breaks the rules for names. |
 * | `bad-field` | Another argument has a wrong value, such as `app` or `secret`. |
 * | `bad-version` | The SDK and the node are of different versions. |
 * | `too-many` | This peer watches too many names or is in too many rooms, or a room has too many members. |
 * | `overloaded` | The node takes no more connections at the moment. The SDK tries again. |
 * | `draining` | The node is shutting down. The SDK connects to another node. |
 * | `registry-unavailable` | The node cannot reach Redis at the moment. The SDK tries again. |
 * | `not-claimed` | The peer does not have its name yet. |
 * | `away`, `already-claimed`, `bad-frame`, `unknown-type`, `too-deep`, `binary` | A node refused one frame of the SDK. If the application sees this error at all, it is by the `error` event. |
 *
 * A node closed the connection (protocol SPEC.md, section 7). After `superseded`, `refused`, `protocol` and `left` the
 * peer is closed for good. After `token-expired` and `disconnected` it may be:
 *
 * | code | what happened |
 * |---|---|
 * | `superseded` | Another connection showed the same secret, and has the name now. |
 * | `token-expired` | The access token has ended. If `token` is a function, the SDK connects again with a new one. Otherwise the peer is closed for good. |
 * | `disconnected` | An application server closed the connection. Its close code decides whether the SDK connects again. |
 * | `refused`, `protocol` | The node refused the claim, or this peer sent too many malformed frames. |
 * | `left` | The peer gave its name back with `leave()`. |
 * | `drain` | The node is shutting down. The SDK connects to another node, as it does after the codes in the next row. |
 * | `lease-lost`, `ping-timeout`, `slow-consumer`, `claim-timeout`, `internal` | The node lost the lease, got no answer to a ping in time, sent more than this peer read, got no claim in time, or had a fault. |
 *
 * The SDK itself reports:
 *
 * | code | what happened |
 * |---|---|
 * | `unreachable` | No connection to a node could be made, or the connection broke. The SDK tries again. |
 * | `not-loaded` | The SDK could not load one of its own files, such as the code for channels or rooms (SPEC.md, PP39). |
 */
export type PeerageErrorCode = ErrorCode | CloseReason | SendFailure | 'unreachable' | 'not-loaded'

/** The options of the constructor of `PeerageError`: `cause`, as every `Error` has it, and `retryAfterMs`. */
export interface PeerageErrorOptions extends ErrorOptions {
  /** See `PeerageError.retryAfterMs`. */
  retryAfterMs?: number | undefined
}

/**
 * Every error that the SDK reports, except wrong arguments (`TypeError`) and the reasons of abort signals.
 *
 * The `message` says what happened and what to do. It is for people and may change, so a program should look at `code`.
 * The `cause` is the underlying error, if there is one.
 *
 * @example
 * try {
 *   await peer.send('bob', { text: 'hello' })
 * } catch (error) {
 *   if (error instanceof PeerageError && error.code === 'unavailable') console.log('bob is not there')
 *   else throw error
 * }
 */
export class PeerageError extends Error {
  /** Always `PeerageError`. */
  override readonly name = 'PeerageError'
  /** What happened, as a stable code. */
  readonly code: PeerageErrorCode
  /**
   * How many milliseconds to wait before another attempt, as a node said. With `name-taken`: after this time the name
   * is free, if its holder does not come back. Undefined if the node named no time.
   */
  readonly retryAfterMs: number | undefined

  /** `detail` is the message. By default it is the SDK's text for `code`. */
  constructor(code: PeerageErrorCode, detail: string = textOf(code), options: PeerageErrorOptions = {}) {
    super(detail, options)
    this.code = code
    this.retryAfterMs = options.retryAfterMs
  }
}

/** The texts for errors that the SDK itself detects. */
const texts: Partial<Record<PeerageErrorCode, string>> = {
  forbidden: 'the access rules do not allow this name, or it is that of an application server',
  unavailable:
    'no peer holds this name, or another peer holds it by now; `watch` the name to hear when it is online, then send again',
  timeout:
    'no acknowledgement came in time: the peer is away, or its application does not listen for `message`. The message may have arrived',
  'rate-limited':
    'a rate limit held the message back until its deadline, so it did not arrive; send less at once, or over a channel',
  'queue-full':
    'too many messages of this peer are under way, so nothing was sent; wait for earlier sends to end',
  'too-large':
    'the message is over the size limit, so nothing was sent; divide it, or send it over a channel',
  incompatible:
    'the other peer cannot read the message: it speaks another protocol (PeerJS), or another version of this one',
  'relay-refused':
    'the relay policy of this app does not carry this message through the server; open a channel with `peer.p2p.connect`, then send again',
  aborted: 'the signal of this call was aborted; the message may have arrived',
  closed: 'this peer is closed, and `peer.state` says why; call `connect` for a new peer',
  'not-claimed': 'this peer has no name yet: wait until `connect` has resolved',
  unreachable: 'no node can be reached',
}

/** What to do when a node ends a peer with this code. */
const remedies: Partial<Record<PeerageErrorCode, string>> = {
  'name-taken':
    'Take another name. If this is the same peer as before, `connect` with its `secret`, or with the `storage` that kept the secret. A peer that calls `leave()` frees its name at once.',
  forbidden: 'Look at `token`, `app` and `name`, and at the access rules of the node.',
  'bad-version': 'The SDK and the node are of different versions: update the older one.',
  superseded: 'Connections with the same `secret` are the same peer: give each peer its own secret.',
  'token-expired': 'Pass a function as `token`: the SDK then gets a fresh token in time.',
}

export function textOf(code: PeerageErrorCode): string {
  return texts[code] ?? withRemedy(code, finalTextOf(code) ?? 'the node closed the connection')
}

/** The node's text, followed by what to do. */
export function withRemedy(code: PeerageErrorCode, said: string): string {
  const remedy = remedies[code]
  return remedy === undefined ? said : `${said}. ${remedy}`
}

function finalTextOf(code: PeerageErrorCode): string | undefined {
  return Object.hasOwn(finalTexts, code) ? finalTexts[code as CloseReason] : undefined
}
