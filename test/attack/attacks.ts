import type { Testbed } from './testbed.js'
import { served } from './wire-neighbours.js'

/** The report of an attacker's process at its end. */
export interface Told {
  sent: number
  outcomes: Readonly<Record<string, number>>
}

export interface Attack {
  /** The name of its function in attacker.mjs. */
  id: string
  sends: string
  /** A further condition on the attacker's outcomes, besides "alive, bounded, reachable". Returns what is wrong. */
  wrong?(told: Told): string | undefined
  /** Checks the system afterwards. Returns what is wrong. */
  after?(testbed: Testbed): Promise<string | undefined>
  /** The shortest useful duration, if the usual one would show nothing. */
  seconds?: number
  /** Also runs in `npm test`, because it checks counts and no times. */
  short?: boolean
}

const count = (told: Told, pattern: RegExp): number =>
  Object.entries(told.outcomes).reduce((sum, [what, times]) => sum + (pattern.test(what) ? times : 0), 0)
const atLeast = (pattern: RegExp, least: number) => (told: Told) =>
  count(told, pattern) >= least ? undefined : `${pattern.source}: ${count(told, pattern)}, not ${least}`
const none = (pattern: RegExp) => (told: Told) =>
  count(told, pattern) === 0 ? undefined : `${pattern.source}: ${count(told, pattern)}`

/** Headers may take 10 s, and the node checks for late ones every 5 s. */
const SLOW_SECONDS = 17
const RATE_LIMITED = /closed 4004|error rate-limited/
/** The number of registry keys that contain this text. */
async function keysWith(testbed: Testbed, part: string): Promise<number> {
  const keys = (await testbed.redis.cli('KEYS', `*${part}*`)).split('\n')
  return keys.filter((key) => key !== '').length
}

/** Checks that the nodes with peers still have a link to each other. */
async function linked({ nodes }: Testbed): Promise<string | undefined> {
  for (const { admin } of nodes.slice(0, 2)) {
    const text = await (await fetch(`${admin}/metrics`)).text()
    const links = Number(/^peerage_links (\d+)$/m.exec(text)?.[1])
    if (links !== 1) return `${links} links between the nodes`
  }
  return undefined
}

export const attacks: readonly Attack[] = [
  {
    id: 'refused-upgrade-reset',
    sends: '200/s refused upgrades and requests of ten kinds, each then a TCP reset',
    short: true,
  },
  {
    id: 'connect-flood',
    sends: '4 unclaimed sockets, 12,000/s CONNECT packets each',
    // 1006 does not count, because the attacker's own end gives it, too.
    wrong: atLeast(/closed 4\d+|refused/, 1),
    short: true,
  },
  {
    id: 'refused-hellos',
    sends: '8 sockets: wrong secret, bad version, wrong key, other namespaces, 50 at a time',
    wrong: (told) => none(/^welcomed/)(told) ?? atLeast(/refused|closed 4|limit/, 1)(told),
    short: true,
  },
  {
    id: 'many-names-before-the-answer',
    sends: '4 sockets, 16 CONNECTs with other names before the first answer, then gone',
    after: async (testbed) => {
      const held = await keysWith(testbed, 'held-')
      return held <= 4 ? undefined : `${held} keys for 4 connections`
    },
    short: true,
  },
  {
    id: 'ack-flood',
    // A peer that has sent nothing gets no acks, and they are dropped without an answer. The frames are within their rate.
    sends: '2 peers, 250 frames/s of 64 acks to absent names',
  },
  {
    id: 'pong-flood',
    sends: '2 peers, 10,000/s WebSocket pongs',
    wrong: atLeast(RATE_LIMITED, 1),
    short: true,
  },
  { id: 'packet-pong-flood', sends: '2 peers, 10,000/s engine.io pongs', wrong: atLeast(RATE_LIMITED, 1) },
  { id: 'ping-flood', sends: '2 peers, 10,000/s WebSocket pings', wrong: atLeast(RATE_LIMITED, 1) },
  {
    id: 'junk',
    sends: 'binary, truncated, deep and prototype-key frames, one per peer',
    wrong: atLeast(/error bad-|closed (4503|1003|1007|1009)/, 1),
    short: true,
  },
  {
    id: 'frame-sizes',
    sends: 'frames of the limit − 2, − 1, ± 0, + 1 and a megabyte',
    wrong: (told) =>
      none(/^6553[456] bytes: closed 1009/)(told) ?? none(/^(65537|1000000) bytes: stays/)(told),
    short: true,
  },
  {
    id: 'slow-to-read',
    sends: '2 peers, 100/s frames of up to 50 KB: always new keys, zeros, empty lists',
    wrong: atLeast(/error bad-frame/, 1),
    seconds: 5,
  },
  {
    id: 'payload-growth',
    sends: '2 PeerJS peers, 125/s of 60 KB of `1e20,` to 200 absent ids each',
    seconds: 5,
  },
  {
    id: 'signals-at-a-slow-peer',
    sends: '7.5 MB/s of signals to a peer that reads 20 Mbit/s',
    seconds: 5,
    wrong: (told) => none(/^victim closed/)(told) ?? atLeast(/^victim stays/, 1)(told),
  },
  { id: 'stalled-inbox', sends: '4 MiB to a neighbour with seq 1 missing', seconds: 4, short: true },
  {
    id: 'enumeration',
    sends: '2 peers, 100/s look-ups of 64 names',
    wrong: atLeast(RATE_LIMITED, 1),
    short: true,
  },
  {
    id: 'squatting',
    sends: "150/s claims of a neighbour's name with a wrong secret",
    wrong: none(/^TAKEN/),
    short: true,
  },
  {
    id: 'key-oracle',
    sends: '100/s GET /{guess}/id from one address, then the right key',
    seconds: 4,
    wrong: (told) =>
      atLeast(/^the right key at first: 200$/, 1)(told) ??
      none(/^(a guess|the right key after that): 200$/)(told),
  },
  {
    id: 'forged-forwarded-for',
    sends: '400/s connects, each with another forged first address in X-Forwarded-For',
    wrong: atLeast(/Unexpected server response: (429|503)/, 1),
  },
  {
    id: 'loopback-by-header',
    sends: '400/s connects with X-Forwarded-For: 127.0.0.1 through a trusted balancer',
    wrong: atLeast(/Unexpected server response: (429|503)/, 1),
  },
  { id: 'origins', sends: 'eight foreign origins at each endpoint', wrong: none(/^let in/), short: true },
  {
    id: 'forged-sender',
    sends: '100/s messages with a forged sender name',
    wrong: none(/FORGED/),
    short: true,
  },
  {
    id: 'slowloris-http',
    sends: '200 requests, a byte every half second',
    seconds: SLOW_SECONDS,
    wrong: none(/^still open/),
  },
  {
    id: 'slowloris-upgrade',
    sends: '200 upgrades, a byte every half second',
    seconds: SLOW_SECONDS,
    wrong: none(/^still open/),
  },
  {
    id: 'slowloris-tls',
    sends: '200 TLS hellos, a byte every half second',
    seconds: SLOW_SECONDS,
    wrong: none(/^still open/),
  },
  {
    id: 'report-flood',
    sends: '2 peers, 900/s reports of 1e15 ms',
    after: async (testbed) => {
      const said = testbed.nodes
        .flatMap((node) => node.logs())
        .filter(
          (one) => JSON.stringify(one).includes('1e15') || JSON.stringify(one).includes('1000000000000000'),
        )
      return Promise.resolve(said.length <= 100 ? undefined : `${said.length} lines in the logs`)
    },
    short: true,
  },
  { id: 'connect-vanish', sends: '200/s connects that are cut within 20 ms' },
  {
    id: 'rooms-and-watches',
    sends: '2 peers, 900/s joins of new rooms and watches of 64 names',
    wrong: atLeast(/error|closed/, 1),
  },
  {
    id: 'stun-reflection',
    sends: '3,000/s STUN requests and garbage',
    wrong: ({ outcomes }) =>
      (outcomes['bytes back'] ?? 0) <= 2 * (outcomes['bytes out'] ?? 0)
        ? undefined
        : 'more than twice as many bytes come back',
    short: true,
  },
  {
    id: 'stun-tcp-half-open',
    sends: '300 STUN connections over TCP, half a header each',
    wrong: atLeast(/closed by|ECONN/, 1),
  },
  {
    id: 'link-garbage',
    sends: '300/s connections to the link ports: noise, zeros, HTTP, broken TLS handshakes',
    wrong: none(/^(let in|still open)/),
    after: linked,
    short: true,
  },
  {
    id: 'link-silence',
    sends: '100/s connections to the link ports that send nothing, or begin a TLS handshake',
    wrong: none(/^(let in|still open)/),
    after: linked,
    seconds: 5,
  },
  {
    id: 'link-connects',
    sends: '1,000/s connections to the link ports',
    wrong: none(/^(let in|still open)/),
    after: linked,
    short: true,
  },
  {
    id: 'link-impostor',
    sends: '20/s false nodes, with a certificate that the nodes trust, or with none',
    // The attack tests nothing unless a handshake has begun.
    wrong: (told) => none(/^let in/)(told) ?? atLeast(/^handshake/, 1)(told),
    after: linked,
    short: true,
  },
  {
    id: 'bad-tokens',
    sends: '8 sockets: tokens with sixteen kinds of mistakes',
    wrong: (told) =>
      none(/^welcomed/)(told) ?? atLeast(/^refused (bad-token|token-expired|forbidden)/, 1)(told),
    short: true,
  },
  {
    id: 'unknown-kids',
    sends: '8 sockets: tokens of unknown keys, while the server of the keys hangs',
    wrong: (told) => none(/^welcomed/)(told) ?? atLeast(/^refused access-unavailable/, 1)(told),
    seconds: 8,
  },
  {
    id: 'hanging-webhook',
    sends: '40 sockets: hellos to an app whose access webhook never answers',
    wrong: (told) => none(/^welcomed/)(told) ?? atLeast(/^refused access-unavailable/, 1)(told),
    seconds: 6,
  },
  {
    id: 'app-flood',
    sends: '20 peers of another app, 400/s messages each; its budget is 2,000/s',
    short: true,
  },
  {
    id: 'api-junk',
    sends: 'the API: wrong keys, 10 MB, deep and broken bodies, unknown fields, odd paths and methods',
    wrong: (told) => none(/: (2\d\d|5\d\d|no answer)$/)(told) ?? atLeast(/: 4\d\d$/, 10)(told),
    short: true,
  },
  {
    id: 'wires-malformed',
    sends: 'each wire of pages: every frame of its codec, malformed in every field and cut at every place',
    // 4503: too many malformed frames; 4004: too many or too complex for its rates.
    wrong: (told) => none(/SILENT|closed (?!1006|4503|4004)/)(told) ?? atLeast(/: stays$/, 4)(told),
    after: served,
    short: true,
  },
  {
    id: 'wires-oversize',
    sends: 'each wire of pages: frames of the limit, the limit + 1 and a megabyte',
    wrong: (told) => none(/^65536 bytes: closed 1009/)(told) ?? none(/^(65537|1000000) bytes: stays/)(told),
    after: served,
    short: true,
  },
  {
    id: 'wires-odd-urls',
    sends: 'upgrades with odd apps, rooms, tokens and group sizes in the URL',
    wrong: none(/^(5\d\d|still open)$/),
    after: served,
    short: true,
  },
  {
    id: 'topics-10000',
    sends: '10,000 topics from one socket of y-webrtc at once, and 900/s from one of trystero',
    after: served,
    short: true,
  },
  {
    id: 'swarms-10000',
    sends: '900/s announces in 10,000 swarms from one socket',
    // A connection may be in 1,000 swarms.
    wrong: (told) => (count(told, /^entered$/) <= 1_000 ? undefined : `${count(told, /^entered$/)} swarms`),
    after: served,
    seconds: 12,
    short: true,
  },
  {
    id: 'scrape-everything',
    sends: 'scrapes without a swarm, and of 64, 65 and 2,500 swarms',
    wrong: (told) => none(/^LISTED/)(told) ?? atLeast(/^refused$/, 5)(told) ?? atLeast(/^answered$/, 1)(told),
    after: served,
    short: true,
  },
  {
    id: 'offers-to-oneself',
    sends: '3 sockets with one peer_id, 30/s announces with offers and answers to the same peer_id',
    wrong: (told) =>
      none(/^AN OWN OFFER|is closed/)(told) ?? atLeast(/^offers at the other member$/, 1)(told),
    after: served,
    short: true,
  },
  {
    id: 'unasked-answers',
    sends: '400/s answers that nobody asked for: to absent peers, to other swarms, to a member',
    wrong: (told) => none(/^(VICTIM|FROM)/)(told),
    after: served,
    short: true,
  },
  {
    id: 'stop-another',
    sends: '`stopped` under the peer_id of another socket',
    wrong: (told) => none(/^VICTIM/)(told) ?? atLeast(/^victim is served$/, 1)(told),
    after: served,
    short: true,
  },
  {
    id: 'announce-as-another',
    sends: 'announces under the peer_id of a victim, which announces itself again now and then',
    wrong: (told) => none(/^(VICTIM|NO REPLY)/)(told) ?? atLeast(/^victim is served$/, 1)(told),
    after: served,
    short: true,
  },
  {
    id: 'publish-as-another',
    sends: 'publications of y-webrtc under the ids of others, and to ids of nobody',
    wrong: (told) => none(/^VICTIM/)(told) ?? atLeast(/^victim is served$/, 1)(told),
    after: served,
    short: true,
  },
  {
    id: 'wires-vanish',
    sends: '2,000 sockets of all four wires that subscribe or announce, and vanish',
    after: served,
    seconds: 5,
    short: true,
  },
  {
    id: 'matchbox-groups',
    sends: '100/s peers of matchbox in groups of 1 to 4,294,967,295 that vanish within 200 ms',
    after: served,
    short: true,
  },
  {
    id: 'publication-flood',
    sends: '4 sockets, 900/s publications of 3 KB to 40 subscribers',
    // The node reads no more of them than the rate allows, which is about 90 a second of each socket.
    wrong: (told) =>
      none(/closed 4004/)(told) ??
      atLeast(/^publication$/, 1)(told) ??
      (3 * count(told, /^publication$/) < told.sent ? undefined : 'the senders were not slowed'),
    after: served,
    short: true,
  },
  { id: 'bus', sends: '500/s malformed messages to the inboxes of nodes, with access to Redis', short: true },
]

/** Attacks that another test covers. */
export const elsewhere: readonly (readonly [string, string])[] = [
  ['TURN: expired credentials, forbidden ranges, quotas', 'test/nat/turn-hardened.test.ts'],
  ['STUN fuzzing', 'test/nat/stun-fuzz.test.ts'],
  ['names claimed by others after Redis comes back empty', 'chaos F27'],
  ['resets at every stage of every kind of connection', 'chaos F26'],
  ['10,000 at once; message, ping, look-up and join floods', 'chaos F19, F18'],
]
