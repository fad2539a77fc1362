import { z } from 'zod'
import { peerjsKey } from './app-schema.js'
import { app, flag, listOf, milliseconds, origin, section, set, urlPath, whole } from './kinds.js'

const MAX_COUNT = 1_000_000_000
const count = whole(0, MAX_COUNT)

const ONE_KEY_RULE = 'must be a key of PeerJS, "*" for any key, or a mapping from keys to apps'
const peerjs = section({
  enabled: set(flag.default(true), 'serve unmodified PeerJS clients'),
  path: set(
    urlPath.nullable().default(null),
    'path for PeerJS clients, if it differs from path; their WebSocket is at {path}peerjs',
  ),
  key: set(
    z.union([peerjsKey, z.record(peerjsKey, app)], ONE_KEY_RULE).default('peerjs'),
    'the key that PeerJS clients must present: one key, "*" for any key, or a mapping key=app,…',
  ),
  concurrentLimit: set(count.default(5_000), 'maximum number of PeerJS peers on this node; 0: no limit'),
  allowDiscovery: set(flag.default(false), 'let GET {path}{key}/peers list the ids of the whole cluster'),
  expireMs: set(milliseconds.default(5_000), 'how long messages wait for an absent peer'),
  aliveMs: set(
    milliseconds.default(90_000),
    'the node ends a connection without any traffic for this long; answers to pings are traffic',
  ),
  queueMessages: set(whole(1, 100_000).default(256), 'how many messages may wait for one absent peer'),
  queueBytes: set(whole(1_024, MAX_COUNT).default(1_048_576), 'how many bytes may wait for one absent peer'),
  cors: set(
    listOf(origin, 'https://app.example').default([]),
    'origins that may read the HTTP answers; empty: any, as with PeerJS',
  ),
})

const yWebrtc = section({
  enabled: set(flag.default(false), 'serve unmodified y-webrtc clients, at {path}y-webrtc/{app}', {
    flag: 'y-webrtc',
  }),
})

const webtorrent = section({
  enabled: set(
    flag.default(false),
    'serve unmodified WebTorrent clients, and trystero with its torrent strategy, as a tracker at {path}announce/{app}',
    { flag: 'webtorrent' },
  ),
  intervalMs: set(
    whole(10_000, 3_600_000).default(120_000),
    'how often a WebTorrent client announces, from 10 s to an hour, give or take a tenth; a client that does not announce for 2.5 times as long, and for 5 minutes, leaves its swarm',
  ),
})

const trystero = section({
  enabled: set(
    flag.default(false),
    'serve unmodified trystero clients with its ws-relay strategy, at {path}trystero/{app}',
    { flag: 'trystero' },
  ),
})

const matchbox = section({
  enabled: set(flag.default(false), 'serve unmodified matchbox clients, at {path}matchbox/{room}?app=', {
    flag: 'matchbox',
  }),
})

/** The wires beside the native one, each with the settings of its own. */
export const wires = { peerjs, yWebrtc, webtorrent, trystero, matchbox }
