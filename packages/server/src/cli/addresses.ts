import { formatHost } from '@peerage/protocol'
import { isIPv4 } from 'node:net'
import type { NetworkInterfaceInfo } from 'node:os'
import { isEveryAddress, isLoopback, isPrivate } from '../config/hosts.js'

export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>

/** Networks of virtual machines and containers, which other devices do not reach. */
const VIRTUAL_NAMES = /^(?:docker|br-|veth|virbr|vmnet|vboxnet|cni|flannel|cali|lxc|podman|utun)/

/**
 * The addresses at which other devices may reach a server that listens on `host`. Addresses in the network around this
 * machine come first, because they are the likely ones. There are none for loopback. A name is returned as it is.
 */
export function addressesBeyondLoopback(host: string, interfaces: Interfaces): string[] {
  if (isLoopback(host)) return []
  if (!isEveryAddress(host)) return [host]
  const found = Object.entries(interfaces).flatMap(([name, addresses = []]) =>
    addresses
      // A browser takes no link-local IPv6 address: it needs a zone.
      .filter(({ address, internal }) => !internal && !/^fe[89ab]/i.test(address))
      .filter(({ address }) => host === '::' || isIPv4(address))
      .map(({ address }) => ({ address, rank: rankOf(name, address) })),
  )
  return found.sort((a, b) => a.rank - b.rank).map(({ address }) => address)
}

/** Addresses with a lower rank come first. */
function rankOf(name: string, address: string): number {
  const virtual = VIRTUAL_NAMES.test(name) ? 4 : 0
  const family = isIPv4(address) ? 0 : 2
  return virtual + family + (isPrivate(address) ? 0 : 1)
}

/** The same URL at another host. */
export function urlAt(url: string, host: string): string {
  return url.replace(/\/\/(?:\[[^\]]*\]|[^:/]*)/, `//${formatHost(host)}`)
}
