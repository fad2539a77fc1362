import { randomBytes } from 'node:crypto'

/** Characters of `data`, as y-webrtc sends it: an announcement, candidates, an SDP, and an SDP with all its candidates. */
const DATA_LENGTHS = [300, 400, 400, 1300, 400, 400, 3000, 400] as const
/** Different texts of each kind, so that no server sees the same text each time. */
const VARIANTS = 64
export const OFFERS_PER_ANNOUNCE = 5
const CANDIDATES = 10

const hex = (bytes: number): string => randomBytes(bytes).toString('hex')

/** The SDP of a data channel, as Chrome writes it, with `candidates` candidates: some 450 bytes, and 130 for each candidate. */
export function sdpOf(candidates: number): string {
  const port = (): number => 10_000 + Math.floor(Math.random() * 50_000)
  const fingerprint = (hex(32).toUpperCase().match(/../g) ?? []).join(':')
  const lines = [
    'v=0',
    `o=- ${Date.now()}${port()} 2 IN IP4 127.0.0.1`,
    's=-',
    't=0 0',
    'a=group:BUNDLE 0',
    'a=extmap-allow-mixed',
    'a=msid-semantic: WMS',
    `m=application ${port()} UDP/DTLS/SCTP webrtc-datachannel`,
    'c=IN IP4 203.0.113.7',
    ...Array.from(
      { length: candidates },
      (_, index) =>
        `a=candidate:${port()}${port()} 1 udp ${1_677_729_535 - index} 203.0.113.${index} ${port()} typ srflx ` +
        `raddr 192.168.1.${index} rport ${port()} generation 0 network-id 1 network-cost 10`,
    ),
    `a=ice-ufrag:${hex(2)}`,
    `a=ice-pwd:${hex(12)}`,
    'a=ice-options:trickle',
    `a=fingerprint:sha-256 ${fingerprint}`,
    'a=setup:actpass',
    'a=mid:0',
    'a=sctp-port:5000',
    'a=max-message-size:262144',
  ]
  return `${lines.join('\r\n')}\r\n`
}

/** The `data` of y-webrtc's publications. `to` is the peer that a signal in the clear names. */
export type DataOf = (index: number, from: string, to: string) => string

/** As with a password: a text that no server can read. */
export function encryptedData(): DataOf {
  const texts = Array.from({ length: VARIANTS }, (_, index) => {
    const length = DATA_LENGTHS[index % DATA_LENGTHS.length] ?? 0
    return JSON.stringify(randomBytes(length).toString('base64').slice(0, length))
  })
  return (index) => texts[index % VARIANTS] ?? '""'
}

/** As without a password: signals that name both peers. They have the same lengths. */
export function clearData(): DataOf {
  const texts = Array.from({ length: VARIANTS }, (_, index) => {
    const length = DATA_LENGTHS[index % DATA_LENGTHS.length] ?? 0
    const sdp = sdpOf(Math.ceil(length / 100)).slice(0, Math.max(1, length - 180))
    return JSON.stringify({ type: 'offer', sdp })
  })
  return (index, from, to) =>
    `{"to":${JSON.stringify(to)},"from":${JSON.stringify(from)},"type":"signal","token":${1_700_000_000_000 + index},` +
    `"signal":${texts[index % VARIANTS] ?? 'null'}}`
}

/** Twenty bytes, as a tracker's client writes them into JSON: each is one character. */
export const twentyBytes = (): string => randomBytes(20).toString('latin1')

/** The lists of offers that peers announce: with some 1.8 KB each, as a browser with a few addresses makes them. */
export function offerLists(): readonly string[] {
  return Array.from({ length: VARIANTS }, () =>
    JSON.stringify(
      Array.from({ length: OFFERS_PER_ANNOUNCE }, () => ({
        offer: { type: 'offer', sdp: sdpOf(CANDIDATES) },
        offer_id: twentyBytes(),
      })),
    ),
  )
}
