import type { Parsed } from './ids.js'

/** The parts of a STUN or TURN server's URL (RFC 7064, RFC 7065). */
export interface IceUrl {
  scheme: 'stun' | 'stuns' | 'turn' | 'turns'
  /** A name in lower case ASCII, an IPv4 address, or an IPv6 address without brackets. */
  host: string
  /** Undefined: the scheme's default, see `icePort`. */
  port?: number | undefined
  /** Only for turn and turns. Undefined: the scheme's default, see `iceTransport`. */
  transport?: 'udp' | 'tcp' | undefined
}

const REST_PATTERN = /^(\[[^\]]*\]|[^[\]:?]*)(?::([^?]*))?(?:\?(.*))?$/
// Excludes characters that the URL parser below would read as a path, user info or a fragment.
const HOST_PATTERN = /^[^\s/\\@#?<>^|]+$/
const IPV4_PATTERN = /^\d+(?:\.\d+){3}$/

/**
 * The only parser of these URLs, for the configuration of a node and for what a client gives to WebRTC. It accepts
 * what the RFCs and the browsers accept, also in upper case or between spaces. It refuses what browsers refuse, because
 * one URL that a browser cannot read fails the whole connection.
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
  // RFC 7065 §3.1 is ABNF, in which texts match in upper and lower case (RFC 5234 §2.3).
  const transport = transports.find((one) => query.toLowerCase() === `transport=${one}`)
  if (scheme.startsWith('stun') || transport === undefined)
    return problem('may end in ?transport=udp or ?transport=tcp after turn: and turns:, and in nothing else')
  return { ok: true, value: { scheme, host, port, transport } }
}

const schemes = ['stun', 'stuns', 'turn', 'turns'] as const
const transports = ['udp', 'tcp'] as const

/** Writes the URL in the form that every WebRTC stack reads: lower case, an IPv6 address in brackets. */
export function formatIceUrl({ scheme, host, port, transport }: IceUrl): string {
  return `${scheme}:${formatHost(host)}${port === undefined ? '' : `:${port}`}${transport ? `?transport=${transport}` : ''}`
}

export function icePort({ scheme, port }: IceUrl): number {
  return port ?? (scheme.endsWith('s') ? 5349 : 3478)
}

/** How a WebRTC stack reaches the server. `tls` is TLS over TCP. */
export function iceTransport({ scheme, transport }: IceUrl): 'udp' | 'tcp' | 'tls' | 'dtls' {
  const isSecure = scheme.endsWith('s')
  if ((transport ?? (isSecure ? 'tcp' : 'udp')) === 'udp') return isSecure ? 'dtls' : 'udp'
  return isSecure ? 'tls' : 'tcp'
}

/** A host as it stands in a URL: an IPv6 address in brackets (RFC 3986 §3.2.2). */
export function formatHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** Writes `host:port`, with an IPv6 address in brackets. `parseHostPort` reads it. */
export function formatHostPort({ host, port }: { host: string; port: number | string }): string {
  return `${formatHost(host)}:${port}`
}

/** Reads `host:port`, the form of a STUN server's address in a welcome, with an IPv6 address in brackets. */
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
    // The URL parser knows IPv6 addresses, punycode and percent-encoding.
    host = new URL(`http://${text}/`).hostname
  } catch {
    return undefined
  }
  // The URL parser reads 1 as 0.0.0.1, and 0x7f.1 as 127.0.0.1.
  if (IPV4_PATTERN.test(host) && host !== text) return undefined
  if (host === '' || host.startsWith('.') || host.includes('..')) return undefined
  return host.replace(/^\[(.*)\]$/, '$1')
}

function readPort(digits: string): number | undefined {
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  return port >= 1 && port <= 65_535 ? port : undefined
}
