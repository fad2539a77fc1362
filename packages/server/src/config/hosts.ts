import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

// Classifies the hosts that settings name. Names are never looked up.

/** The address ranges that cannot be reached from outside. */
const PRIVATE_RANGES = ['private', 'loopback', 'linkLocal', 'carrierGradeNat', 'uniqueLocal']

const rangeOf = (host: string): string | undefined =>
  isIP(host) === 0 ? undefined : ipaddr.process(host).range()

/** True for an address that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || rangeOf(host) === 'loopback'
}

/** True for an address that cannot be reached from outside. A name may stand for any address. */
export function isPrivate(host: string): boolean {
  return host === 'localhost' || PRIVATE_RANGES.includes(rangeOf(host) ?? '')
}

/**
 * True if a URL with this host says itself where it leads, so that its author knows it. Any other name leads to where its
 * DNS server says.
 */
export function isFixedPlace(host: string): boolean {
  return host === 'localhost' || isIP(host) !== 0
}

/**
 * True for `0.0.0.0` and `::`, which mean all addresses of a machine. A server can listen there, but nobody can
 * connect.
 */
export function isEveryAddress(host: string): boolean {
  return rangeOf(host) === 'unspecified'
}

const NAME_PATTERN = /^[\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)*\.?$/u
/** The system reads a name with a number at its end as an IPv4 address: `0` as 0.0.0.0, `127.1` as 127.0.0.1. */
const NUMBER_AT_END = /(?:^|\.)(?:\d+|0x[\da-f]*)\.?$/i

/** Says why a server cannot listen on this host. Undefined if it can. `port` is the setting of the port. */
export function problemOfHost(host: string, port: string): string | undefined {
  const everywhere = 'for all addresses use 0.0.0.0 or ::'
  if (isEveryAddress(host))
    return host === '0.0.0.0' || host === '::' ? undefined : `must be in its usual form; ${everywhere}`
  if (isIP(host) !== 0) return undefined
  if (!NAME_PATTERN.test(host))
    return `must be only an address or a name, without scheme, port or brackets (the port is the setting ${port}); ${everywhere}`
  return NUMBER_AT_END.test(host) ? `must be a whole IP address or a name; ${everywhere}` : undefined
}
