import { fromBase64, toBase64Url } from '../../lib/base64.js'
import { isCandidate } from '../handshake/signals.js'

// One side of a handshake as a short text, for a QR code, a chat or a piece of paper (SPEC.md, Manual mode). Only five
// values of a data channel's description differ from peer to peer. The other side writes all other lines itself.

export interface TextContent {
  type: 'offer' | 'answer'
  ufrag: string
  pwd: string
  /** The SHA-256 of the certificate: 32 bytes. */
  fingerprint: Uint8Array
  setup: (typeof SETUPS)[number]
  candidates: Candidate[]
}

interface Candidate {
  type: (typeof TYPES)[number]
  /** IPv4, IPv6, or an mDNS name. */
  address: string
  port: number
}

const VERSION = 1
const SETUPS = ['actpass', 'active', 'passive'] as const
const TYPES = ['host', 'srflx', 'relay'] as const
/** Type preferences of RFC 8445 §5.1.2.2. */
const PREFERENCES = { host: 126, srflx: 100, relay: 0 } as const
const CANDIDATES_MAX = 12
const FINGERPRINT_BYTES = 32
const CREDENTIAL_PATTERN = /^[\w+/-]{4,64}$/
const MDNS_PATTERN = /^([\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12})\.local$/i

/** Packs the description and candidates of one side into about 130 characters of base64url. */
export function packText(type: TextContent['type'], sdp: string, lines: string[]): string {
  const read = (pattern: RegExp): string => pattern.exec(sdp)?.[1] ?? ''
  const hex = read(/^a=fingerprint:sha-256 ([\dA-F:]+)\r$/im).replaceAll(':', '')
  const setup = SETUPS.findIndex((one) => one === read(/^a=setup:(\w+)/m))
  const bytes = [(VERSION << 4) | (type === 'offer' ? 0 : 8) | Math.max(setup, 0), ...fromHex(hex)]
  for (const text of [read(/^a=ice-ufrag:(\S+)/m), read(/^a=ice-pwd:(\S+)/m)])
    bytes.push(text.length, ...Array.from(text, (character) => character.charCodeAt(0)))
  const known = new Set<string>()
  for (const line of lines) {
    const [, protocol = '', address = '', port, kind] =
      /candidate:\S+ 1 (\S+) \d+ (\S+) (\d+) typ (\w+)/i.exec(line) ?? []
    const index = TYPES.findIndex((one) => one === kind)
    const packed = packAddress(address)
    const key = `${address} ${port}`
    if (
      protocol.toLowerCase() !== 'udp' ||
      index < 0 ||
      !packed ||
      known.has(key) ||
      known.size >= CANDIDATES_MAX
    )
      continue
    known.add(key)
    bytes.push((index << 4) | packed.family, ...packed.bytes, Number(port) >> 8, Number(port) & 255)
  }
  return toBase64Url(Uint8Array.from(bytes))
}

/** Reads such a text. Returns undefined for a text that `packText` does not make. */
export function unpackText(text: string): TextContent | undefined {
  const compact = text.replaceAll(/\s/g, '').replaceAll('-', '+').replaceAll('_', '/')
  if (compact.length > 1024 || !/^[A-Za-z\d+/]+$/.test(compact) || compact.length % 4 === 1) return undefined
  const reader = new Reader(fromBase64(compact))
  const head = reader.byte()
  const fingerprint = reader.bytes(FINGERPRINT_BYTES)
  const [ufrag, pwd] = [reader.text(), reader.text()]
  const setup = SETUPS[head & 7]
  if (
    head >> 4 !== VERSION ||
    setup === undefined ||
    !CREDENTIAL_PATTERN.test(ufrag) ||
    !CREDENTIAL_PATTERN.test(pwd)
  )
    return undefined
  const candidates: Candidate[] = []
  while (reader.hasMore) {
    const kind = reader.byte()
    const type = TYPES[kind >> 4]
    const address = unpackAddress(kind & 15, reader)
    const port = (reader.byte() << 8) | reader.byte()
    if (type === undefined || address === undefined || candidates.length >= CANDIDATES_MAX) return undefined
    candidates.push({ type, address, port })
  }
  if (reader.isShort) return undefined
  return { type: (head & 8) === 0 ? 'offer' : 'answer', ufrag, pwd, fingerprint, setup, candidates }
}

/** Writes the description (RFC 8841) and the candidates that the text stands for. */
export function describeContent(content: TextContent): { sdp: string; candidates: string[] } {
  const { ufrag, pwd, fingerprint, setup } = content
  const hex = Array.from(fingerprint, (byte) => byte.toString(16).padStart(2, '0').toUpperCase()).join(':')
  const lines = [
    'v=0',
    'o=- 1 1 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    'a=group:BUNDLE 0',
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
    'c=IN IP4 0.0.0.0',
    'a=mid:0',
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    `a=fingerprint:sha-256 ${hex}`,
    // An offer always says `actpass`, as PP32 does. The answering side chooses to be the DTLS client: browsers by
    // themselves, node-datachannel by node-rtc.ts.
    `a=setup:${content.type === 'offer' ? 'actpass' : setup}`,
    'a=sctp-port:5000',
    'a=max-message-size:262144',
  ]
  const candidates = content.candidates.map(({ type, address, port }, index) => {
    const priority = PREFERENCES[type] * 2 ** 24 + (65_535 - index) * 2 ** 8 + 255
    const from = type === 'host' ? '' : ' raddr 0.0.0.0 rport 0'
    return `candidate:${index + 1} 1 udp ${priority} ${address} ${port} typ ${type}${from}`
  })
  return { sdp: lines.map((line) => `${line}\r\n`).join(''), candidates: candidates.filter(isCandidate) }
}

class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get hasMore(): boolean {
    return this.#at < this.#bytes.length
  }

  /** True if a read went beyond the end. */
  get isShort(): boolean {
    return this.#at > this.#bytes.length
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0
  }

  bytes(count: number): Uint8Array {
    return this.#bytes.slice(this.#at, (this.#at += count))
  }

  text(): string {
    return String.fromCharCode(...this.bytes(this.byte()))
  }
}

function packAddress(address: string): { family: number; bytes: number[] } | undefined {
  if (/^\d+(\.\d+){3}$/.test(address)) return { family: 4, bytes: address.split('.').map(Number) }
  const mdns = MDNS_PATTERN.exec(address)?.[1]
  if (mdns !== undefined) return { family: 0, bytes: fromHex(mdns.replaceAll('-', '')) }
  if (!/^[\da-f:]+$/i.test(address)) return undefined
  const [left = '', right] = address.split('::')
  const groups = (text: string): string[] => text.split(':').filter((group) => group !== '')
  const tail = groups(right ?? '')
  const zeros = Array.from({ length: 8 - groups(left).length - tail.length }, () => '0')
  const all = [...groups(left), ...zeros, ...tail]
  return { family: 6, bytes: fromHex(all.map((group) => group.padStart(4, '0')).join('')) }
}

function unpackAddress(family: number, reader: Reader): string | undefined {
  if (family === 4) return reader.bytes(4).join('.')
  if (family !== 6 && family !== 0) return undefined
  const hex = Array.from(reader.bytes(16), (byte) => byte.toString(16).padStart(2, '0')).join('')
  if (family === 6) return hex.replaceAll(/(.{4})(?=.)/g, '$1:')
  return `${hex.replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')}.local`
}

function fromHex(hex: string): number[] {
  return Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}
