import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** What addresses to listen on, and to connect to, stand for. No name is looked up. */

/** Networks that nobody routes to from outside. */
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

/** True for what stands for every address of a machine: one can listen there, and nobody can connect to it. */
export function isEveryAddress(host: string): boolean {
  return rangeOf(host) === 'unspecified'
}

const NAME_PATTERN = /^[\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)*\.?$/u
/** The system reads a name that ends like this as an IPv4 address: `0` as 0.0.0.0, `127.1` as 127.0.0.1. */
const NUMBER_AT_END = /(?:^|\.)(?:\d+|0x[\da-f]*)\.?$/i

/** What keeps a text from being a host to listen on. `port` is the setting beside it. */
export function problemOfHost(host: string, port: string): string | undefined {
  const everywhere = 'for all addresses say 0.0.0.0 or ::'
  if (isEveryAddress(host))
    return host === '0.0.0.0' || host === '::' ? undefined : `must be written in the usual way; ${everywhere}`
  if (isIP(host) !== 0) return undefined
  if (!NAME_PATTERN.test(host))
    return `must be an address or a name alone, without scheme, port or brackets (the port is ${port}); ${everywhere}`
  return NUMBER_AT_END.test(host) ? `must be a whole IP address or a name; ${everywhere}` : undefined
}
