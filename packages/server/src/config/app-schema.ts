import { limits as wire } from '@peerage/protocol'
import { z } from 'zod'
import { ALGORITHMS } from '../access/app-access.js'
import {
  flag,
  listOf,
  milliseconds,
  oneOf,
  origin,
  own,
  secretText,
  section,
  set,
  text,
  turnUrl,
  webUrl,
  whole,
} from './kinds.js'

// The settings that an app may have of its own. Most of them are settings of the node, too, which hold for every app
// that does not set its own.

const MAX_COUNT = 1_000_000_000
/** Things a second or a count. 0: no limit. */
export const rate = whole(0, MAX_COUNT)

/** RFC 9110 §5.1: the name of a header. */
const header = text
  .regex(/^[\w!#$%&'*+.^`|~-]+$/, 'must be the name of a request header, such as x-real-ip')
  .transform((name) => name.toLowerCase())
const MOST_HEADERS = 16
const DAY_MS = 86_400_000
/** RFC 7518 §3.2: a key for HS256 has at least the length of its hash. */
const SECRET_BYTES = 32
const hmacSecret = text.refine(
  (secret) => Buffer.byteLength(secret) >= SECRET_BYTES,
  `must be at least ${SECRET_BYTES} bytes`,
)
const sharedKey = text.min(16, 'must be at least 16 characters')

const token = section({
  algorithms: set(
    listOf(oneOf(...ALGORITHMS), 'ES256').default([]),
    'the algorithms of tokens that are accepted: HS256 with a secret, else RS256, PS256, ES256, EdDSA',
  ),
  secret: set(
    secretText(hmacSecret).nullable().default(null),
    'secret that tokens are signed with (HS256); at least 32 bytes',
    { secret: true },
  ),
  previousSecret: set(
    secretText(hmacSecret).nullable().default(null),
    'the previous secret, while it is being replaced',
    { secret: true },
  ),
  publicKey: set(
    secretText(text).nullable().default(null),
    'public key or certificate (PEM) that tokens are checked with',
    { isFromFile: true },
  ),
  jwks: set(
    webUrl.nullable().default(null),
    'URL of the keys that tokens are checked with (JWKS); https, or http on this machine or with allowPrivate',
  ),
  allowPrivate: set(
    flag.default(false),
    'let jwks be http, and let a name in it lead to a private address, such as a server of your own cluster; an IP address and localhost need no permission',
  ),
  typ: set(
    text.nullable().default(null),
    'what typ of a token must be, such as at+jwt; without this setting typ is not checked',
  ),
  issuer: set(
    text.nullable().default(null),
    'what iss of a token must be; without this setting iss is not checked',
  ),
  lifetimeMs: set(whole(1_000, 366 * DAY_MS).default(3_600_000), 'how far ahead exp of a token may be'),
})

const webhook = section({
  url: set(
    webUrl.nullable().default(null),
    'URL that is asked about each peer; https, or http on this machine or with allowPrivate',
  ),
  timeoutMs: set(whole(1, 10_000).default(1_500), 'how long the answer may take'),
  headers: set(
    listOf(header, 'x-tenant').max(MOST_HEADERS, `must be at most ${MOST_HEADERS} headers`).default([]),
    'request headers of the peer that are passed on',
  ),
  secret: set(
    secretText(sharedKey).nullable().default(null),
    'secret that is sent as Authorization: Bearer; at least 16 characters',
    { secret: true },
  ),
  allowPrivate: set(
    flag.default(false),
    'let url be http, and let a name in it lead to a private address, such as a server of your own cluster; an IP address and localhost need no permission',
  ),
  whenUnreachable: set(
    oneOf('refuse', 'allow').default('refuse'),
    'what happens to a peer while the webhook cannot be reached; an invalid answer always refuses the peer',
  ),
})

const accessShape = {
  mode: set(
    oneOf('open', 'key', 'token', 'webhook').nullable().default(null),
    'who may come in: everybody, or peers with a shared key, with a signed token, or whom a webhook allows; default: the one whose settings are there, and open if there are none',
  ),
  key: set(
    secretText(sharedKey).nullable().default(null),
    'shared key that every peer must present as its token; at least 16 characters',
    { secret: true },
  ),
  previousKey: set(
    secretText(sharedKey).nullable().default(null),
    'the previous key, while it is being replaced',
    { secret: true },
  ),
  token,
  webhook,
}
export const access = section(accessShape)
export type AccessConfig = z.output<typeof access>

const turnShape = {
  urls: set(
    listOf(turnUrl, 'turn:turn.example:3478')
      .max(wire.turnUrls, `must be at most ${wire.turnUrls} URLs`)
      .default([]),
    'TURN servers, such as turn:turn.example:3478?transport=udp',
  ),
  secret: set(secretText(text).nullable().default(null), 'static-auth-secret of the TURN servers', {
    secret: true,
  }),
  previousSecret: set(
    secretText(text).nullable().default(null),
    'the previous secret, while it is being replaced',
    { secret: true },
  ),
  ttlMs: set(milliseconds.default(300_000), 'how long TURN credentials are valid'),
}
export const turn = section(turnShape)

export const apiKeys = listOf(
  secretText(text.min(24, 'must be at least 24 characters')),
  '{ file: /run/secrets/chat-api }',
)
export const taken = oneOf('refuse', 'replace')
export const relayBytes = whole(1, MAX_COUNT)
export const relayMessage = whole(1, 3 * wire.bodyLength)

const RESERVED_KEYS = new Set(['v1', 'peerage'])
export const peerjsKey = text.refine(
  (key) => !RESERVED_KEYS.has(key),
  'must not be v1 or peerage: they are reserved',
)

const like = (setting: string): string => `${setting} of this app; default: that of the node`

/** The settings of one app. For what it leaves out, the settings of the node hold. */
export const appSchema = z.strictObject({
  access: z.strictObject(accessShape).optional(),
  origins: own(
    listOf(origin, 'https://app.example'),
    'exact origins of the pages that may connect to this app; default: origins of the node',
  ),
  taken: own(
    taken,
    'what happens when a peer claims a name of this app that another peer holds; default: taken of the node',
  ),
  limits: z
    .strictObject({
      connection: z
        .strictObject({
          messagesPerSecond: own(rate, like('limits.connection.messagesPerSecond')),
          bytesPerSecond: own(rate, like('limits.connection.bytesPerSecond')),
          signalBytesPerSecond: own(rate, like('limits.connection.signalBytesPerSecond')),
          lookupsPerSecond: own(rate, like('limits.connection.lookupsPerSecond')),
        })
        .optional(),
      name: z
        .strictObject({
          messagesPerSecond: own(rate, like('limits.name.messagesPerSecond')),
          failuresPerMinute: own(rate, like('limits.name.failuresPerMinute')),
        })
        .optional(),
      app: z
        .strictObject({
          connections: own(rate, like('limits.app.connections')),
          connectsPerSecond: own(rate, like('limits.app.connectsPerSecond')),
          messagesPerSecond: own(rate, like('limits.app.messagesPerSecond')),
          bytesPerSecond: own(rate, like('limits.app.bytesPerSecond')),
        })
        .optional(),
    })
    .optional(),
  relay: z
    .strictObject({
      enabled: own(flag, like('relay.enabled')),
      bytesPerSecond: own(relayBytes, like('relay.bytesPerSecond')),
      messageBytes: own(relayMessage, like('relay.messageBytes')),
    })
    .optional(),
  turn: z.strictObject(turnShape).optional(),
  discovery: own(flag, 'let PeerJS clients list the ids of this app; default: peerjs.allowDiscovery'),
  peerjsKeys: set(
    listOf(peerjsKey, 'games').default([]),
    'keys of PeerJS that stand for this app, besides peerjs.key',
  ),
  api: z
    .strictObject({
      keys: set(apiKeys.default([]), 'keys of the API of this app; at least 24 characters each', {
        secret: true,
      }),
    })
    .optional(),
})
