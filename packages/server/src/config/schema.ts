import { defaultTimes } from '@peerage/core'
import { limits as wire } from '@peerage/protocol'
import { z } from 'zod'
import {
  app,
  flag,
  host,
  hostPort,
  listOf,
  milliseconds,
  network,
  oneOf,
  origin,
  port,
  section,
  set,
  text,
  urlPath,
  turnUrl,
  whole,
} from './kinds.js'

const MAX_COUNT = 1_000_000_000
const rate = whole(0, MAX_COUNT)
const count = whole(0, MAX_COUNT)
const time = (key: keyof typeof defaultTimes, about: string) =>
  set(milliseconds.default(defaultTimes[key]), about)

const tls = section({
  cert: set(
    text.nullable().default(null),
    'file of the certificate chain (PEM); with tls.key: serve https and wss',
  ),
  key: set(text.nullable().default(null), 'file of the private key (PEM)'),
})

const redis = section({
  url: set(
    text.nullable().default(null),
    'redis://, rediss://, redis+sentinel:// or redis+cluster://; without it, one node with an embedded registry',
    { flag: 'redis', secret: true },
  ),
  prefix: set(text.default('pg:'), 'what every key and channel begins with'),
  username: set(text.nullable().default(null), 'ACL user, where the URL names none'),
  password: set(text.nullable().default(null), 'password, where the URL holds none', { secret: true }),
  ca: set(
    text.nullable().default(null),
    'file of the certificate authority that signed the Redis certificate',
  ),
  cert: set(text.nullable().default(null), 'file of the client certificate'),
  key: set(text.nullable().default(null), "file of the client certificate's private key"),
})

const MOST_LINKS = 10_000

const links = section({
  host: set(
    host('links.port').nullable().default(null),
    'address to listen on for the other nodes: messages between nodes then go directly; unset: through Redis alone',
  ),
  port: set(port.default(0), 'TCP port for the other nodes; 0 picks a free one'),
  advertise: set(
    hostPort.nullable().default(null),
    'host:port at which the other nodes reach this one, its own on each node; needed where that is not links.host and links.port, or where Redis is on loopback (NAT, containers)',
  ),
  most: set(
    whole(1, MOST_LINKS).default(256),
    'links to other nodes at once; beyond that, a node gets one only if its traffic is more than twice that of the quietest link',
  ),
  plain: set(
    flag.default(false),
    'links without TLS; only where nobody but the nodes can see or touch the traffic',
  ),
})

const times = section({
  beatMs: time(
    'beatMs',
    'each node renews its own lease, looks at the others and sends its canary this often',
  ),
  nodeLeaseMs: time('nodeLeaseMs', 'a node silent for so long is dead to the others; at least 5 beats'),
  pingIntervalMs: time('pingIntervalMs', 'ping of each peer; stay below the idle limit of the balancer'),
  pingTimeoutMs: time('pingTimeoutMs', 'a peer that does not answer a ping for so long is away'),
  graceMs: time('graceMs', 'how long a name waits for its holder; at least deadlineMs'),
  deadlineMs: time('deadlineMs', 'when the SDK gives a message up; over pingIntervalMs + pingTimeoutMs'),
  nameTtlMs: time('nameTtlMs', 'a lease that nobody renews ends after this; at least 30 beats, over graceMs'),
  commandMs: time('commandMs', 'a Redis command without an answer by then has failed; at most 1000'),
  drainMs: time('drainMs', 'from SIGTERM to exit'),
})

const admin = section({
  host: set(host('admin.port').default('127.0.0.1'), 'address of the admin port; keep it private'),
  port: set(port.nullable().default(null), 'port of /metrics; 0 picks a free one; unset: no admin port'),
})

const limits = section({
  frameBytes: set(whole(1_024, 16_777_216).default(wire.frameBytes), 'one WebSocket frame'),
  handshakeMs: set(milliseconds.default(wire.handshakeMs), 'from connect to claimed name'),
  bufferedBytes: set(
    whole(65_536, MAX_COUNT).default(1_048_576),
    'a peer for which more than this waits to be read is closed as a slow consumer',
  ),
  connection: section({
    messagesPerSecond: set(rate.default(1_000), 'messages of one connection; 0: no limit'),
    bytesPerSecond: set(rate.default(8_388_608), 'bytes of one connection; 0: no limit'),
    signalBytesPerSecond: set(
      rate.default(262_144),
      'offers, answers and candidates of one connection, in bytes: a handshake needs at most some 50,000; 0: no limit',
    ),
    lookupsPerSecond: set(rate.default(200), 'names looked up or watched by one connection; 0: no limit'),
  }),
  name: section({
    messagesPerSecond: set(rate.default(1_000), 'messages of one name, over its connections; 0: no limit'),
    failuresPerMinute: set(
      rate.default(30),
      'refused claims of one name before more are slowed; 0: no limit',
    ),
  }),
  address: section({
    connections: set(
      count.default(2_000),
      'open connections of one address (IPv6: /64; loopback: any); 0: no limit',
    ),
    connectsPerSecond: set(rate.default(100), 'new connections of one address; 0: no limit'),
    lookupsPerSecond: set(rate.default(1_000), 'names looked up by one address; 0: no limit'),
    failuresPerMinute: set(rate.default(120), 'refused handshakes of one address; 0: no limit'),
  }),
  node: section({
    connections: set(count.default(50_000), 'open connections of this node; 0: no limit'),
    connectsPerSecond: set(rate.default(2_000), 'new connections of this node; 0: no limit'),
    bufferedBytes: set(
      count.default(268_435_456),
      'while more than this waits to be read by all peers, those who are behind get nothing from others; 0: no limit',
    ),
  }),
})

const ONE_KEY_RULE = 'must be a key of PeerJS, "*" for any key, or a mapping of keys to apps'
const RESERVED_KEYS = new Set(['v1', 'peerage'])
const peerjsKey = text.refine(
  (key) => !RESERVED_KEYS.has(key),
  'must not be v1 or peerage: they are reserved',
)

const peerjs = section({
  enabled: set(flag.default(true), 'serve unmodified PeerJS clients'),
  path: set(
    urlPath.nullable().default(null),
    'where PeerJS clients find us, if that is not path; the socket is at peerjs below it',
  ),
  key: set(
    z.union([peerjsKey, z.record(peerjsKey, app)], ONE_KEY_RULE).default('peerjs'),
    'the key that clients present: one key, "*" for any, or a mapping key=app,…',
  ),
  concurrentLimit: set(count.default(5_000), 'PeerJS connections of this node; 0: no limit'),
  allowDiscovery: set(flag.default(false), 'GET {path}{key}/peers lists the ids of the whole cluster'),
  expireMs: set(milliseconds.default(5_000), 'how long messages wait for an absent peer'),
  aliveMs: set(milliseconds.default(90_000), 'a socket without any traffic, answers to pings included, ends'),
  queueMessages: set(whole(1, 100_000).default(256), 'messages that wait for one absent peer at most'),
  queueBytes: set(whole(1_024, MAX_COUNT).default(1_048_576), 'bytes that wait for one absent peer at most'),
  cors: set(
    listOf(origin).default([]),
    'origins that may read the HTTP answers; empty: each, as PeerJS does',
  ),
})

const turn = section({
  urls: set(
    listOf(turnUrl).max(wire.turnUrls, `must be at most ${wire.turnUrls} URLs`).default([]),
    'TURN servers, such as turn:turn.example:3478?transport=udp',
  ),
  secret: set(text.nullable().default(null), 'static-auth-secret of the TURN servers', { secret: true }),
  previousSecret: set(text.nullable().default(null), 'the former secret, while it is being replaced', {
    secret: true,
  }),
  ttlMs: set(milliseconds.default(300_000), 'how long TURN credentials last'),
})

const p2p = section({
  useAsP2PServer: set(
    flag.default(true),
    'answer STUN on UDP at TCP port + 1; in an application off unless asked for',
    {
      flag: 'use-as-p2p-server',
    },
  ),
  advertise: set(
    hostPort.nullable().default(null),
    'host:port told to peers for the integrated P2P server, where port + 1 is not what they reach',
  ),
  server: set(
    hostPort.nullable().default(null),
    'host:port of a standalone P2P server (peerage stun) told to peers',
  ),
  turn,
})

/** The one description of what a node can be told. Everything else about configuration follows from it. */
export const configSchema = z.strictObject({
  host: set(
    host('port').default('127.0.0.1'),
    'address to listen on; beyond loopback an access rule or open is needed',
  ),
  port: set(port.default(9_000), 'TCP port; 0 picks a free one whose neighbour is free for UDP'),
  path: set(
    urlPath.default('/'),
    'what our paths begin with, for a proxy that keeps the prefix of its own URL; SDKs connect to a URL with it',
  ),
  open: set(flag.default(false), 'listen beyond loopback without any access rule'),
  tls,
  redis,
  links,
  times,
  admin,
  access: section({
    key: set(
      text.min(16, 'must be at least 16 characters').nullable().default(null),
      'shared key that every peer must present as its token; at least 16 characters',
      {
        secret: true,
      },
    ),
  }),
  origins: set(
    listOf(origin).default([]),
    'exact origins of pages that may connect, such as https://app.example, capacitor://localhost or chrome-extension://id; empty: every page',
  ),
  trustedProxies: set(
    listOf(network).default([]),
    'addresses or networks of balancers whose X-Forwarded-For is believed',
  ),
  apps: section({
    default: set(app.default(app.parse('default')), 'app of peers that name none'),
    allow: set(listOf(app).default([]), 'apps that are served; empty: any'),
    taken: set(
      oneOf('refuse', 'replace').default('refuse'),
      'a claim of a held name: refuse it, or replace the holder where the identity is authenticated',
    ),
  }),
  limits,
  peerjs,
  p2p,
  relay: section({
    enabled: set(flag.default(true), 'carry bytes through the server where P2P fails'),
    bytesPerSecond: set(whole(1, MAX_COUNT).default(1_048_576), 'relayed bytes of one connection'),
    messageBytes: set(whole(1, 3 * wire.bodyLength).default(wire.frameBytes), 'bytes of one relayed message'),
  }),
  page: set(flag.default(true), 'serve the page for browsers at /'),
  log: section({
    level: set(oneOf('trace', 'debug', 'info', 'warn', 'error', 'silent').default('info'), 'what is logged'),
    format: set(
      oneOf('auto', 'pretty', 'json').default('auto'),
      'how a log line looks; auto: pretty on a terminal, JSON elsewhere',
    ),
  }),
})

export type Config = z.output<typeof configSchema>
/** What may be left out is left out. */
export type ConfigInput = z.input<typeof configSchema>
export const defaultConfig: Config = configSchema.parse({})
