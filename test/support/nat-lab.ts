import { makeNamespace, type Namespace } from './netns.js'

/**
 * How a peer is connected to the public network (RFC 4787's terms in brackets):
 * - `open`: it has a public address of its own.
 * - `full-cone`: one public port per socket, open to everyone [endpoint-independent mapping and filtering].
 * - `port-restricted`: one public port per socket, open to the addresses that the peer has sent to [endpoint-independent
 *   mapping, address and port-dependent filtering].
 * - `symmetric`: another random public port for every destination [address and port-dependent mapping and filtering].
 * - `udp-blocked`: outgoing TCP as behind any NAT, and no UDP.
 */
export type NatKind = 'open' | 'full-cone' | 'port-restricted' | 'symmetric' | 'udp-blocked'

/** The network in which a peer runs. */
export interface Site extends Namespace {
  readonly kind: NatKind
  /** The peer's own address. */
  readonly address: string
  /** The address that the public network sees. */
  readonly publicAddress: string
  /** Randomly loses this share (0 to 1) of the packets in each direction. 1 cuts the site off, and 0 ends the loss. */
  lose(share: number): Promise<void>
}

export interface NatLab {
  /** The public network, where servers run at `addresses`. */
  readonly pub: Namespace & { readonly addresses: readonly [string, string] }
  readonly a: Site
  readonly b: Site
  /** Ends every process in the lab, which also removes its networks. */
  stop(): Promise<void>
}

// The public addresses are from TEST-NET-3 (RFC 5737). There are two, because mapping behaviour shows only with several.
const PUBLIC_ADDRESSES = ['203.0.113.1', '203.0.113.2'] as const

/** Builds two sites on one public network, each with a NAT. It needs what `canUseNamespaces` checks. */
export async function startNatLab(kinds: { a: NatKind; b: NatKind }): Promise<NatLab> {
  const stops: (() => Promise<void>)[] = []
  const make = async (name: string): Promise<Namespace> => {
    const namespace = await makeNamespace(name)
    stops.unshift(() => namespace.stop())
    return namespace
  }
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0)) await end()
  }
  try {
    const pub = await make('pub')
    await pub.script(`
      ip link add br0 type bridge
      ip link set br0 up
      ${PUBLIC_ADDRESSES.map((address) => `ip addr add ${address}/24 dev br0`).join('\n')}
      # Without a default route, ICE libraries gather from no interface.
      ip route add default via ${PUBLIC_ADDRESSES[1]} dev br0`)
    const a = await addSite(pub, make, { name: 'a', number: 1, kind: kinds.a })
    const b = await addSite(pub, make, { name: 'b', number: 2, kind: kinds.b })
    return { pub: { ...pub, addresses: PUBLIC_ADDRESSES }, a, b, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

interface Plan {
  name: string
  number: number
  kind: NatKind
}

async function addSite(
  pub: Namespace,
  make: (name: string) => Promise<Namespace>,
  plan: Plan,
): Promise<Site> {
  const { name, number, kind } = plan
  const publicAddress = `203.0.113.${10 + number}`
  const peer = await make(name)
  if (kind === 'open') {
    await plug(pub, peer, `to-${name}`, publicAddress)
    await peer.script(`ip route add default via ${PUBLIC_ADDRESSES[0]}`)
    return site(peer, { kind, address: publicAddress, publicAddress })
  }
  const router = await make(`${name}-router`)
  const [inner, address] = [`192.168.${number}.1`, `192.168.${number}.2`]
  await plug(pub, router, `to-${name}`, publicAddress)
  await router.script(`
    ip route add default via ${PUBLIC_ADDRESSES[0]}
    ip link add lan type veth peer name eth0 netns ${peer.pid}
    ip addr add ${inner}/24 dev lan
    ip link set lan up
    echo 1 > /proc/sys/net/ipv4/ip_forward
    nft '${natRules(kind, address)}'`)
  await peer.script(`
    ip addr add ${address}/24 dev eth0
    ip link set eth0 up
    ip route add default via ${inner}`)
  return site(peer, { kind, address, publicAddress })
}

/** Connects a namespace to the public bridge. The interface in the namespace is called eth0. */
async function plug(pub: Namespace, into: Namespace, port: string, address: string): Promise<void> {
  await pub.script(`
    ip link add ${port} type veth peer name eth0 netns ${into.pid}
    ip link set ${port} master br0 up`)
  await into.script(`
    ip addr add ${address}/24 dev eth0
    ip link set eth0 up`)
}

/**
 * New packets from outside are dropped on input as well as on forward. If the router answered or only tracked them, they
 * would occupy the tuple that the peer's own next packet needs, and change its port.
 */
function natRules(kind: Exclude<NatKind, 'open'>, peer: string): string {
  const inbound = kind === 'full-cone' ? 'accept' : 'ct state established,related accept; drop'
  const forward = kind === 'udp-blocked' ? 'meta l4proto udp drop;' : ''
  const masquerade = kind === 'symmetric' ? 'masquerade random,persistent' : 'masquerade'
  const dnat = kind === 'full-cone' ? `iifname "eth0" meta l4proto udp dnat to ${peer};` : ''
  return `
    table ip nat {
      chain post { type nat hook postrouting priority srcnat; oifname "eth0" ${masquerade}; }
      chain pre { type nat hook prerouting priority dstnat; ${dnat} }
    }
    table ip guard {
      chain outside { ${inbound}; }
      chain input { type filter hook input priority filter; iifname "eth0" jump outside; }
      chain forward { type filter hook forward priority filter; ${forward} iifname "eth0" jump outside; }
    }`
}

function site(namespace: Namespace, facts: { kind: NatKind; address: string; publicAddress: string }): Site {
  return {
    ...namespace,
    ...facts,
    lose: async (share) => {
      const chance = share < 1 ? `numgen random mod 1000 < ${Math.round(share * 1_000)} ` : ''
      const rule = `meta oifkind "veth" ${chance}drop`
      const inwards = rule.replace('oifkind', 'iifkind')
      await namespace.script(`nft '
        table inet loss
        delete table inet loss
        table inet loss {
          chain in { type filter hook input priority filter; ${inwards}; }
          chain out { type filter hook output priority filter; ${rule}; }
        }'`)
    },
  }
}
