import type { Parsed } from './ids.js'

/** A STUN or TURN server's URL (RFC 7064, RFC 7065), read. */
export interface IceUrl {
  scheme: 'stun' | 'stuns' | 'turn' | 'turns'
  /** A name in lower case ASCII, an IPv4 address, or an IPv6 address without brackets. */
  host: string
  /** Undefined: the default of the scheme, see `icePort`. */
  port?: number | undefined
  /** Of turn and turns alone. Undefined: the default of the scheme, see `iceTransport`. */
  transport?: 'udp' | 'tcp' | undefined
}

const REST_PATTERN = /^(\[[^\]]*\]|[^[\]:?]*)(?::([^?]*))?(?:\?(.*))?$/
// What would be something else than a host in the URL that reads it: a path, user info, a fragment.
const HOST_PATTERN = /^[^\s/\\@#?<>^|]+$/
const IPV4_PATTERN = /^\d+(?:\.\d+){3}$/

/**
 * The one reader of such URLs, for the configuration of a node and for what a client hands to WebRTC. It takes what
 * the RFCs and the browsers take, upper case and spaces around it included, and refuses what browsers refuse: one URL
 * that they cannot read fails a whole connection.
 */
export function parseIceUrl(input: unknown): Parsed<IceUrl> {
  const problem = (text: string): { ok: false; problem: string } => ({ ok: false, problem: text })
  if (typeof input !== 'string') return problem('must be a string')
  const text = input.trim()
  const scheme = schemes.find((one) => text.toLowerCase().startsWith(`${one}:`))
  if (scheme === undefined) return problem('must begin with stun:, stuns:, turn: or turns:')
  const [, hostText = '', digits, query] = REST_PATTERN.exec(text.slice(scheme.length + 1)) ?? []
  const host = readHost(hostText)
  if (host === undefined)
    return problem('must name a host: a name, an IPv4 address, or an IPv6 address in brackets')
  const port = digits === undefined ? undefined : readPort(digits)
  if (digits !== undefined && port === undefined) return problem('must have a port from 1 to 65535, or none')
  if (query === undefined) return { ok: true, value: { scheme, host, port } }
  // RFC 7065 §3.1 is ABNF, whose texts match in either case (RFC 5234 §2.3).
  const transport = transports.find((one) => query.toLowerCase() === `transport=${one}`)
  if (scheme.startsWith('stun') || transport === undefined)
    return problem('may end in ?transport=udp or =tcp after turn: and turns:, and in nothing else')
  return { ok: true, value: { scheme, host, port, transport } }
}

const schemes = ['stun', 'stuns', 'turn', 'turns'] as const
const transports = ['udp', 'tcp'] as const

/** As every WebRTC stack reads it: lower case, an IPv6 address in brackets. */
export function formatIceUrl({ scheme, host, port, transport }: IceUrl): string {
  const authority = host.includes(':') ? `[${host}]` : host
  return `${scheme}:${authority}${port === undefined ? '' : `:${port}`}${transport ? `?transport=${transport}` : ''}`
}

export function icePort({ scheme, port }: IceUrl): number {
  return port ?? (scheme.endsWith('s') ? 5349 : 3478)
}

/** How a stack reaches the server; `tls` is over TCP. */
export function iceTransport({ scheme, transport }: IceUrl): 'udp' | 'tcp' | 'tls' | 'dtls' {
  const isSecure = scheme.endsWith('s')
  if ((transport ?? (isSecure ? 'tcp' : 'udp')) === 'udp') return isSecure ? 'dtls' : 'udp'
  return isSecure ? 'tls' : 'tcp'
}

/** `host:port` with an IPv6 address in brackets, as the address of a STUN server is told. */
export function parseHostPort(input: unknown): { host: string; port: number } | undefined {
  const read = parseIceUrl(typeof input === 'string' ? `stun:${input}` : input)
  return read.ok && read.value.port !== undefined
    ? { host: read.value.host, port: read.value.port }
    : undefined
}

function readHost(text: string): string | undefined {
  if (!HOST_PATTERN.test(text)) return undefined
  let host: string
  try {
    // Knows IPv6 addresses, punycode and percent-encoding.
    host = new URL(`http://${text}/`).hostname
  } catch {
    return undefined
  }
  // The URL would take 1 for 0.0.0.1, and 0x7f.1 for loopback.
  if (IPV4_PATTERN.test(host) && host !== text) return undefined
  if (host === '' || host.startsWith('.') || host.includes('..')) return undefined
  return host.replace(/^\[(.*)\]$/, '$1')
}

function readPort(digits: string): number | undefined {
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  return port >= 1 && port <= 65_535 ? port : undefined
}
