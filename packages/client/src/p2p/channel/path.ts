/** One end of the path that ICE selected (webrtc-stats, RTCIceCandidateStats). */
export interface Endpoint {
  type: string
  /** Undefined where the browser hides it. */
  address: string | undefined
  port: number | undefined
  protocol: string | undefined
}

/** How the bytes travel. */
export interface ChannelPath {
  /** relayed: through a TURN server. */
  path: 'direct' | 'relayed'
  local: Endpoint | undefined
  remote: Endpoint | undefined
  /** Both ends speak from their own interface, so no NAT lies between them. */
  sameLan: boolean
  rttMs: number | undefined
}

const PRIVATE_PATTERN =
  /^(10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|f[cd]|fe80:|::1$)|\.local$/i

/** `hosts`: the addresses that the other side announced as its own. */
export function readPath(report: RTCStatsReport, hosts: ReadonlySet<string>): ChannelPath {
  const entries = new Map<string, Record<string, unknown>>()
  report.forEach((entry: { id: string }) => entries.set(entry.id, { ...entry }))
  const pair = selectedPair(entries)
  const local = endpoint(entries.get(String(pair?.['localCandidateId'])))
  const remote = endpoint(entries.get(String(pair?.['remoteCandidateId'])))
  const rtt = pair?.['currentRoundTripTime']
  // A peer-reflexive end is one whose checks came before its candidates; its address still tells where it is.
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
  // Firefox has no transport entry and marks the pair instead.
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

/** Not seen through a NAT by a server, nor lent by one. */
function isOwn(end: Endpoint | undefined): boolean {
  return end?.type === 'host' || end?.type === 'prflx'
}
