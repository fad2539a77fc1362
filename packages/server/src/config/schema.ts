import { defaultTimes } from '@peerage/core'
import { limits as wire } from '@peerage/protocol'
import { z } from 'zod'
import { access, apiKeys, appSchema, rate, relayBytes, relayMessage, taken, turn } from './app-schema.js'
import {
  app,
  flag,
  host,
  hostPort,
  listOf,
  log,
  milliseconds,
  network,
  origin,
  port,
  section,
  set,
  text,
  urlPath,
  whole,
} from './kinds.js'
import { wires } from './wire-schema.js'

const MAX_COUNT = 1_000_000_000
const count = whole(0, MAX_COUNT)
const time = (key: keyof typeof defaultTimes, about: string) =>
  set(milliseconds.default(defaultTimes[key]), about)

const tls = section({
  cert: set(
    text.nullable().default(null),
    'file of the certificate chain (PEM); together with tls.key the node serves https and wss',
  ),
  key: set(text.nullable().default(null), 'file of the private key (PEM)'),
})

const redis = section({
  url: set(
    text.nullable().default(null),
    'URL of Redis: redis://, rediss://, redis+sentinel:// or redis+cluster://; without it the node joins no cluster and keeps names in memory',
    { flag: 'redis', secret: true },
  ),
  prefix: set(text.default('pg:'), 'prefix of every key and channel in Redis'),
  username: set(text.nullable().default(null), 'ACL user, if the URL has none'),
  password: set(text.nullable().default(null), 'password, if the URL has none', { secret: true }),
  ca: set(
    text.nullable().default(null),
    'file of the certificate authority that signed the Redis certificate',
  ),
  cert: set(text.nullable().default(null), 'file of the client certificate'),
  key: set(text.nullable().default(null), "file of the client certificate's private key"),
})

const MAX_LINKS = 10_000

const links = section({
  host: set(
    host('links.port').nullable().default(null),
    'address to listen on for links, direct connections from other nodes; two nodes that exchange many messages then send them over a link; without this setting all messages go through Redis',
  ),
  port: set(port.default(0), 'TCP port for links from other nodes; 0 picks a free one'),
  advertise: set(
    hostPort.nullable().default(null),
    'host:port at which other nodes open links to this node, different on each node; needed if it is not links.host and links.port (NAT, containers), or if Redis is on loopback',
  ),
  most: set(
    whole(1, MAX_LINKS).default(256),
    'maximum number of links to other nodes; at the maximum, a new link replaces the link with the least traffic if the other node has more than twice that traffic',
  ),
  plain: set(
    flag.default(false),
    'links without TLS; use it only if nobody except the nodes can read or change the traffic',
  ),
})

const times = section({
  beatMs: time(
    'beatMs',
    'how often a node renews its own lease, checks the other nodes and sends a test message through Redis',
  ),
  nodeLeaseMs: time(
    'nodeLeaseMs',
    'after this long without a renewal of its lease a node counts as dead; at least 5 times beatMs',
  ),
  pingIntervalMs: time(
    'pingIntervalMs',
    'how often the node pings each peer; must be less than the idle timeout of the load balancer',
  ),
  pingTimeoutMs: time('pingTimeoutMs', 'how long a peer may take to answer a ping before it counts as away'),
  graceMs: time(
    'graceMs',
    'how long a name stays reserved for its holder after the connection was lost; at least deadlineMs',
  ),
  deadlineMs: time(
    'deadlineMs',
    'after how long the SDK gives up on a message; must be more than pingIntervalMs + pingTimeoutMs',
  ),
  nameTtlMs: time(
    'nameTtlMs',
    'how long after its last renewal the lease of a name ends; at least 30 times beatMs and more than graceMs',
  ),
  commandMs: time(
    'commandMs',
    'how long Redis may take to answer a command before it counts as failed; at most 1000',
  ),
  drainMs: time('drainMs', 'longest time from SIGTERM to the exit of the node'),
})

const admin = section({
  host: set(host('admin.port').default('127.0.0.1'), 'address of the admin port; keep it private'),
  port: set(
    port.nullable().default(null),
    'TCP port of /metrics and the detailed /readyz; 0 picks a free one; without this setting there is no admin port',
  ),
})

const limits = section({
  frameBytes: set(whole(1_024, 16_777_216).default(wire.frameBytes), 'longest WebSocket frame of a peer'),
  handshakeMs: set(milliseconds.default(wire.handshakeMs), 'longest time from connecting to a claimed name'),
  bufferedBytes: set(
    whole(65_536, MAX_COUNT).default(1_048_576),
    'how many unread bytes may wait for one peer; the node closes a peer above this as a slow consumer',
  ),
  connection: section({
    messagesPerSecond: set(rate.default(1_000), 'messages a second of one connection; 0: no limit'),
    bytesPerSecond: set(rate.default(8_388_608), 'bytes a second of one connection; 0: no limit'),
    signalBytesPerSecond: set(
      rate.default(262_144),
      'bytes a second of offers, answers and candidates of one connection; a handshake needs at most about 50,000 bytes; 0: no limit',
    ),
    lookupsPerSecond: set(
      rate.default(200),
      'names a second that one connection looks up or watches; 0: no limit',
    ),
  }),
  name: section({
    messagesPerSecond: set(
      rate.default(1_000),
      'messages a second of one name, over all its connections; 0: no limit',
    ),
    failuresPerMinute: set(
      rate.default(30),
      'refused claims a minute of one name; the node delays answers to further ones; 0: no limit',
    ),
  }),
  address: section({
    connections: set(
      count.default(2_000),
      'open connections of one address (IPv6: of one /64); 0: no limit; loopback has no limit',
    ),
    connectsPerSecond: set(rate.default(100), 'new connections a second of one address; 0: no limit'),
    lookupsPerSecond: set(rate.default(1_000), 'names a second that one address looks up; 0: no limit'),
    failuresPerMinute: set(rate.default(120), 'refused handshakes a minute of one address; 0: no limit'),
  }),
  app: section({
    connections: set(
      count.default(25_000),
      'open connections of one app at this node; the limits of limits.app hold for the apps that apps lists; 0: no limit',
    ),
    connectsPerSecond: set(
      rate.default(1_000),
      'connections a second that claim a name in one app, at this node; 0: no limit',
    ),
    messagesPerSecond: set(rate.default(20_000), 'messages a second of one app at this node; 0: no limit'),
    bytesPerSecond: set(rate.default(67_108_864), 'bytes a second of one app at this node; 0: no limit'),
  }),
  node: section({
    connections: set(count.default(50_000), 'open connections of this node; 0: no limit'),
    connectsPerSecond: set(rate.default(2_000), 'new connections a second of this node; 0: no limit'),
    bufferedBytes: set(
      count.default(268_435_456),
      'how many unread bytes may wait for all peers together; above this, slow peers get no messages from other peers; 0: no limit',
    ),
  }),
})

const p2p = section({
  useAsP2PServer: set(
    flag.default(true),
    'run the integrated P2P server (STUN) on UDP at TCP port + 1; in an application the default is false',
    {
      flag: 'use-as-p2p-server',
    },
  ),
  advertise: set(
    hostPort.nullable().default(null),
    'host:port at which peers reach the integrated P2P server, if it is not the host of the node at TCP port + 1',
  ),
  server: set(
    hostPort.nullable().default(null),
    'host:port of a standalone P2P server (peerage stun), which peers then use instead of the integrated one',
  ),
  turn,
})

const APPS_RULE =
  'must be an app, 1 to 32 characters of a-z, 0-9 and -, with its settings, such as chat: { origins: [https://chat.example] }'

/** The settings of a node. Flags, variables, the file, the documentation and the types all follow from this schema. */
export const configSchema = z.strictObject({
  host: set(
    host('port').default('127.0.0.1'),
    'address to listen on; beyond loopback the node needs access.key, origins or open',
  ),
  port: set(port.default(9_000), 'TCP port; 0 picks a free one whose next port is free for UDP'),
  path: set(
    urlPath.default('/'),
    'path prefix of everything that the node serves, for example behind a proxy that passes a prefix on; the URL of the SDK must then have the same path',
  ),
  open: set(flag.default(false), 'let anybody connect: listen beyond loopback without an access rule'),
  tls,
  redis,
  links,
  times,
  admin,
  access,
  origins: set(
    listOf(origin, 'https://app.example').default([]),
    'exact origins of the pages that may connect, such as https://app.example, capacitor://localhost or chrome-extension://id; empty: any',
  ),
  trustedProxies: set(
    listOf(network, '10.0.0.0/8').default([]),
    'addresses or networks of the load balancers whose X-Forwarded-For header the node trusts',
  ),
  defaultApp: set(app.default(app.parse('default')), 'the app of peers that name no app'),
  apps: z.record(app, appSchema, APPS_RULE).prefault({}),
  taken: set(
    taken.default('refuse'),
    'what happens when a peer claims a name that another peer holds: refuse the claim, or replace the holder if the access rules have given the new peer an identity',
  ),
  api: section({
    keys: set(
      apiKeys.default([]),
      'keys of the API (/v1) of the default app, at least 24 characters each; without a key there is no API',
      { secret: true },
    ),
    port: set(
      port.nullable().default(null),
      'TCP port of the API; without this setting it is on the main port',
    ),
    host: set(host('api.port').nullable().default(null), 'address of the port of the API; default: host'),
  }),
  limits,
  ...wires,
  p2p,
  relay: section({
    enabled: set(flag.default(true), 'carry messages through the server for peers without a direct path'),
    bytesPerSecond: set(relayBytes.default(1_048_576), 'relayed bytes a second of one connection'),
    messageBytes: set(relayMessage.default(wire.frameBytes), 'longest relayed message, in bytes'),
  }),
  page: set(flag.default(true), 'serve the page for browsers at path'),
  log: log(),
})

/** The whole configuration of a node, with a value for every setting. */
export type Config = z.output<typeof configSchema>
/** The settings of a node as an application passes them. Every setting may be left out and then has its default. */
export type ConfigInput = z.input<typeof configSchema>
export const defaultConfig: Config = configSchema.parse({})
