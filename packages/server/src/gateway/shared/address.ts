import type { IncomingMessage } from 'node:http'
import { isIP, isIPv4 } from 'node:net'
import ipaddr from 'ipaddr.js'

type Network = [ipaddr.IPv4 | ipaddr.IPv6, number]

/** The bucket of requests whose address is not known. */
const UNKNOWN = 'unknown'

/** The headers in which a proxy names the peer behind it. Only X-Forwarded-For is read. */
const FORWARDING_HEADERS = ['x-forwarded-for', 'forwarded', 'x-real-ip'] as const

/** More hops than any chain of balancers has. Of a longer header only the last hops are read. */
const MAX_HOPS = 32

/** Finds the address that a request really came from. It believes only the balancers that are configured. */
export class Addresses {
  readonly #trusted: readonly Network[]

  /** `trustedProxies`: addresses, or networks in CIDR notation. */
  constructor(trustedProxies: readonly string[]) {
    this.#trusted = trustedProxies.map((network) => {
      if (network.includes('/')) return ipaddr.parseCIDR(network)
      const address = ipaddr.process(network)
      return [address, address.kind() === 'ipv4' ? 32 : 128]
    })
  }

  /**
   * The peer's address. X-Forwarded-For is read from its end, and only as far as each hop is trusted. Entries that the
   * peer itself wrote stand before the address that the first balancer saw, so they are never reached.
   */
  of(request: Pick<IncomingMessage, 'headers' | 'socket'>): string {
    const remote = request.socket.remoteAddress ?? ''
    const header = request.headers['x-forwarded-for']
    // Parsing takes longer than everything else here, so the common case avoids it.
    if ((header === undefined || this.#trusted.length === 0) && isIPv4(remote)) return remote
    let address = normal(remote)
    if (address === undefined) return ''
    const hops = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',').slice(-MAX_HOPS)
    while (hops.length > 0 && this.#isTrusted(address)) {
      const next = normal(hops.pop()?.trim() ?? '')
      if (next === undefined) break
      address = next
    }
    return address.toString()
  }

  /**
   * The bucket that limits count this request by. Limits exempt loopback. So a request counts as loopback only if it
   * comes from a socket of this machine and not through a proxy. If a trusted proxy names loopback or nobody, the
   * address is unknown.
   */
  bucketOf(request: Pick<IncomingMessage, 'headers' | 'socket'>): string {
    const address = this.of(request)
    if (!isLoopback(address)) return bucketOf(address)
    if (this.#trusted.length === 0) return address
    const { headers, socket } = request
    if (!FORWARDING_HEADERS.some((header) => headers[header] !== undefined)) return address
    const remote = normal(socket.remoteAddress ?? '')
    const isItself = remote?.range() === 'loopback' && !this.#isTrusted(remote)
    return isItself ? address : UNKNOWN
  }

  #isTrusted(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
    return this.#trusted.some(([network, bits]) => {
      if (address instanceof ipaddr.IPv4)
        return network instanceof ipaddr.IPv4 && address.match(network, bits)
      return network instanceof ipaddr.IPv6 && address.match(network, bits)
    })
  }
}

/** Parses an address, without port, brackets or zone. IPv4 mapped into IPv6 becomes IPv4. */
function normal(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  const bare = text
    .replace(/^\[([^\]]*)\](?::\d+)?$/, '$1')
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
    .replace(/%.*$/s, '')
  // ipaddr.js alone would read 1 as 0.0.0.1 and 0x7f.1 as loopback. It also throws for some addresses that Node accepts.
  return isIP(bare) === 0 || !ipaddr.isValid(bare) ? undefined : ipaddr.process(bare)
}

/** Whether an address, as `Addresses` writes it, is loopback. */
export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.')
}

/** What limits per address count by: one IPv4 address, or one IPv6 /64, because a subscriber has a whole /64. */
export function bucketOf(address: string): string {
  if (isIPv4(address)) return address
  const parsed = normal(address)
  if (parsed === undefined) return UNKNOWN
  if (parsed instanceof ipaddr.IPv4) return parsed.toString()
  return `${new ipaddr.IPv6([...parsed.parts.slice(0, 4), 0, 0, 0, 0]).toString()}/64`
}
