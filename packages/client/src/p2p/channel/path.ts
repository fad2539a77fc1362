// The path of a connection. WebRTC stacks report it in different ways, and this file hides that.

/** One end of the path that ICE selected (webrtc-stats, RTCIceCandidateStats). */
export interface Endpoint {
  /** The candidate type: `host`, `srflx` (reflexive), `prflx` (peer-reflexive) or `relay`. */
  type: string
  /** The IP address or mDNS name. Undefined if the browser hides it. */
  address: string | undefined
  /** The port. Undefined if the stack does not tell it. */
  port: number | undefined
  /** `udp` or `tcp`. Undefined if the stack does not tell it. */
  protocol: string | undefined
}

/** The network path of a channel, as the statistics of its WebRTC stack describe it. */
export interface ChannelPath {
  /** `direct`, or `relayed` through a TURN server. */
  path: 'direct' | 'relayed'
  /** This peer's end of the path. Undefined if the stack does not tell it. */
  local: Endpoint | undefined
  /** The other peer's end of the path. Undefined if the stack does not tell it. */
  remote: Endpoint | undefined
  /** True if both ends use an address of their own network interface, so that no NAT lies between them. */
  sameLan: boolean
  /** The round-trip time in milliseconds. Undefined if the stack has not measured it. */
  rttMs: number | undefined
}

const PRIVATE_PATTERN =
  /^(10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|f[cd]|fe80:|::1$)|\.local$/i

/** Reads the path from a statistics report. `hosts`: the addresses in the other side's host candidates. */
export function readPath(report: RTCStatsReport, hosts: ReadonlySet<string>): ChannelPath {
  const entries = new Map<string, Record<string, unknown>>()
  report.forEach((entry: { id: string }) => entries.set(entry.id, { ...entry }))
  const pair = selectedPair(entries)
  const local = endpoint(entries.get(String(pair?.['localCandidateId'])))
  const remote = endpoint(entries.get(String(pair?.['remoteCandidateId'])))
  const rtt = pair?.['currentRoundTripTime']
  // A remote end is peer-reflexive if its check arrived before its candidate. Its address still says where it is.
  const address = remote?.address ?? ''
  const isNear = remote?.type === 'host' || PRIVATE_PATTERN.test(address) || hosts.has(address)
  return {
    path: local?.type === 'relay' || remote?.type === 'relay' ? 'relayed' : 'direct',
    local,
    remote,
    sameLan: isNear && isOwn(local) && isOwn(remote),
    rttMs: typeof rtt === 'number' ? rtt * 1000 : undefined,
  }
}

function selectedPair(entries: Map<string, Record<string, unknown>>): Record<string, unknown> | undefined {
  for (const entry of entries.values()) {
    if (entry['type'] === 'transport' && typeof entry['selectedCandidatePairId'] === 'string')
      return entries.get(entry['selectedCandidatePairId'])
  }
  // Firefox has no entry of type `transport`. It marks the selected pair instead.
  for (const entry of entries.values())
    if (entry['type'] === 'candidate-pair' && entry['selected'] === true) return entry
  return undefined
}

function endpoint(entry: Record<string, unknown> | undefined): Endpoint | undefined {
  if (entry === undefined) return undefined
  const text = (value: unknown): string | undefined =>
    typeof value === 'string' && value !== '' ? value : undefined
  return {
    type: String(entry['candidateType']),
    address: text(entry['address']) ?? text(entry['ip']),
    port: typeof entry['port'] === 'number' ? entry['port'] : undefined,
    protocol: text(entry['protocol']),
  }
}

/** Whether the address belongs to the machine itself, and not to a NAT or a TURN server. */
const isOwn = (end: Endpoint | undefined): boolean => end?.type === 'host' || end?.type === 'prflx'
