import ipaddr from 'ipaddr.js'

// Which addresses are of the public internet. What is not known to be public counts as private.

type Network = [ipaddr.IPv4 | ipaddr.IPv6, number]
const networks = (...texts: string[]): Network[] => texts.map((text) => ipaddr.parseCIDR(text))

/** The special addresses of the IANA registry for IPv4 (RFC 6890 and later) that are not reachable globally. */
const SPECIAL_V4 = networks(
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // RFC 1918
  '100.64.0.0/10', // carrier-grade NAT, RFC 6598
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local, and the metadata services of clouds
  '172.16.0.0/12', // RFC 1918
  '192.0.0.0/24', // IETF protocols
  '192.0.2.0/24', // documentation
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // RFC 1918
  '198.18.0.0/15', // benchmarks, RFC 2544
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and broadcast
)
/** Only 2000::/3 is in use as global unicast. These parts of it are special (RFC 6890 and later). */
const GLOBAL_V6 = networks('2000::/3')
const SPECIAL_V6 = networks(
  '2001::/23', // IETF protocols, with Teredo, benchmarks and ORCHID
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4, which has an IPv4 address inside
  '3fff::/20', // documentation
)
/** NAT64 (RFC 6052 §2.1): the last four bytes are an IPv4 address. */
const NAT64 = networks('64:ff9b::/96')

/** Whether an IP address in text form is one of the public internet. IPv4 inside of IPv6 is judged as IPv4. */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text)) return false
  const address = ipaddr.process(text)
  if (address instanceof ipaddr.IPv4) return !isIn(address, SPECIAL_V4)
  if (isIn(address, NAT64)) return isPublicAddress(address.toByteArray().slice(-4).join('.'))
  return isIn(address, GLOBAL_V6) && !isIn(address, SPECIAL_V6)
}

function isIn(address: ipaddr.IPv4 | ipaddr.IPv6, list: readonly Network[]): boolean {
  return list.some(([network, bits]) => {
    if (address instanceof ipaddr.IPv4) return network instanceof ipaddr.IPv4 && address.match(network, bits)
    return network instanceof ipaddr.IPv6 && address.match(network, bits)
  })
}
