import { formatHostPort, formatIceUrl, icePort, iceTransport, parseIceUrl } from '@peerage/protocol'
import { abortError, onAbort } from '../lib/abort.js'
import type { Clock } from '../lib/clock.js'

/** How the NAT in front of this peer maps its address (RFC 4787 §4.1). */
export type Mapping =
  /** There is no NAT: the address seen from outside is an address of this machine. */
  | 'no-nat'
  /** The NAT uses one outside address for all destinations, so direct channels open with most peers. */
  | 'endpoint-independent'
  /**
   * The NAT uses another outside address for each destination ("symmetric NAT"). A direct channel opens only if the
   * other peer's NAT does not do the same.
   */
  | 'address-dependent'
  /** Only one server answered, so there was nothing to compare. */
  | 'unknown'
  /** No server answered a STUN request, so UDP is probably blocked. */
  | 'blocked'

/** Whether one server answered. */
export interface Probe {
  /** The URL of the server, such as `stun:stun.example.org:9901`. */
  server: string
  /** True if the server answered: a STUN server with an address, a TURN server with a relay address. */
  answers: boolean
  /** Milliseconds until the last answer arrived, or until the probe ended. */
  ms: number
}

/** The result of `peer.p2p.diagnose`. */
export interface Diagnosis {
  /** How the NAT maps this peer's address. */
  mapping: Mapping
  /** The reflexive addresses of this peer, which are its addresses as seen from outside, as ip:port or [ip]:port. */
  reflexive: string[]
  /** The P2P (STUN) server. Null: none is known. */
  stun: Probe | null
  /** The TURN server. Null: none is known. */
  turn: Probe | null
  /** What to do, in English sentences. Empty if all is well. */
  advice: string[]
}

/** The options of `peer.p2p.diagnose`. */
export interface DiagnoseOptions {
  /** Milliseconds after which a server that has not answered counts as silent. Default: 5,000. */
  timeoutMs?: number | undefined
  /** Ends the diagnosis when it aborts. The promise then rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** The members of RTCPeerConnection that gathering uses. */
export interface Gatherer {
  readonly iceGatheringState: string
  readonly restartIce?: () => void
  getConfiguration?(): RTCConfiguration
  addEventListener(
    type: 'icecandidate',
    listener: (event: { candidate: { candidate: string } | null }) => void,
  ): void
  addEventListener(type: 'icegatheringstatechange', listener: () => void): void
  createDataChannel(label: string, options: RTCDataChannelInit): unknown
  createOffer(): Promise<RTCSessionDescriptionInit>
  setLocalDescription(description: RTCSessionDescriptionInit): Promise<void>
  close(): void
}

interface Found {
  type: string
  address: string
  port: string
  /** The local address from which the reflexive candidate was found (its `raddr`). Browsers may hide it. */
  base: string
}

interface Gathering {
  found: Found[]
  /** The stack finished gathering before the time limit, so every server has answered or failed. */
  complete: boolean
  ms: number
}

const TIMEOUT_MS = 5_000
/** node-datachannel reports `complete` shortly before it reports the last candidates. */
const SETTLE_MS = 50

/** Asks the P2P server and the TURN server for this peer's address, and compares their answers. */
export async function diagnose(
  servers: RTCIceServer[],
  make: (configuration: RTCConfiguration) => Gatherer,
  clock: Clock,
  { timeoutMs = TIMEOUT_MS, signal }: DiagnoseOptions,
): Promise<Diagnosis> {
  signal?.throwIfAborted()
  let comparesAll = false
  const run = (configuration: RTCConfiguration): Promise<Gathering> => {
    const connection = make(configuration)
    // libjuice asks one STUN server, chosen at random, and the TURN server. Browsers, which can restart ICE, ask all.
    comparesAll = typeof connection.restartIce === 'function'
    return gather(connection, clock, timeoutMs, signal)
  }
  const stunServer = servers.find(({ urls }) => String(urls).startsWith('stun:'))
  const turnServer = servers.find(({ urls }) => String(urls).startsWith('turn'))
  const [stunUrl, turnUrl] = [stunServer, turnServer].map((server) => [server?.urls ?? []].flat()[0])
  // A TURN server over UDP answers Binding requests too (RFC 8656 §2), so it serves as the second STUN server.
  const second = stunUrlOf(turnServer)
  const [stun, turn, other] = await Promise.all([
    stunServer && run({ iceServers: [stunServer] }),
    turnServer && run({ iceServers: [turnServer], iceTransportPolicy: 'relay' }),
    second === undefined ? undefined : run({ iceServers: [{ urls: second }] }),
  ])
  const canCompare = stunUrl !== second && answers(stun) && answers(other)
  const compared = [stunServer, turnServer, comparesAll && second !== undefined && { urls: second }]
  const both = canCompare
    ? await run({ iceServers: compared.filter((one) => typeof one === 'object') })
    : undefined
  const probeOf = (
    server: string | undefined,
    gathering: Gathering | undefined,
    type: string,
  ): Probe | null =>
    server === undefined || !gathering
      ? null
      : { server, answers: answers(gathering, type), ms: Math.round(gathering.ms) }
  const found = [stun, other, both].flatMap((gathering) => gathering?.found ?? [])
  const diagnosis = {
    mapping: mappingOf(found, answers(stun) || answers(other), both),
    reflexive: [
      ...new Set(found.filter(isReflexive).map(({ address: host, port }) => formatHostPort({ host, port }))),
    ],
    stun: probeOf(stunUrl, stun, 'srflx'),
    turn: probeOf(turnUrl, turn, 'relay'),
  }
  const isTurnUsable = turnServer === undefined || isUsable(turnServer, make)
  return { ...diagnosis, advice: adviceFor(diagnosis, isTurnUsable) }
}

function stunUrlOf(turnServer: RTCIceServer | undefined): string | undefined {
  for (const text of [turnServer?.urls ?? []].flat()) {
    const read = parseIceUrl(text)
    if (read.ok && iceTransport(read.value) === 'udp')
      return formatIceUrl({ scheme: 'stun', host: read.value.host, port: icePort(read.value) })
  }
  return undefined
}

/** Whether the stack keeps any URL of this server. libjuice, for example, drops TURN over TCP and TLS. */
function isUsable(server: RTCIceServer, make: (configuration: RTCConfiguration) => Gatherer): boolean {
  const connection = make({ iceServers: [server] })
  const kept = connection.getConfiguration?.().iceServers
  connection.close()
  return kept === undefined || kept.length > 0
}

const isReflexive = ({ type }: Found): boolean => type === 'srflx'

/**
 * Stacks leave out a reflexive candidate that equals a host candidate. So if gathering completes in time without one, the
 * STUN server has answered. A relay candidate is never left out.
 */
function answers(gathering: Gathering | undefined, type = 'srflx'): boolean {
  if (!gathering) return false
  return gathering.found.some((one) => one.type === type) || (type === 'srflx' && gathering.complete)
}

function mappingOf(found: Found[], isAnswered: boolean, both: Gathering | undefined): Mapping {
  if (!isAnswered) return 'blocked'
  const hosts = new Set(found.filter(({ type }) => type === 'host').map(({ address }) => address))
  if (found.filter(isReflexive).every(({ address }) => hosts.has(address))) return 'no-nat'
  if (!both) return 'unknown'
  const seen = new Map<string, Set<string>>()
  for (const { address, port, base } of both.found.filter(isReflexive)) {
    const ports = seen.get(base) ?? new Set()
    seen.set(base, ports.add(`${address} ${port}`))
  }
  return [...seen.values()].some((ports) => ports.size > 1) ? 'address-dependent' : 'endpoint-independent'
}

function adviceFor({ mapping, stun, turn }: Omit<Diagnosis, 'advice'>, isTurnUsable: boolean): string[] {
  const advice: string[] = []
  if (stun?.answers === false)
    advice.push(
      `${stun.server} does not answer: check its address, and whether this network lets UDP packets out.`,
    )
  if (!isTurnUsable)
    advice.push(
      `This WebRTC stack cannot use ${turn?.server}: node-datachannel supports TURN over UDP only, so add a URL such as turn:host:3478.`,
    )
  else if (turn?.answers === false)
    advice.push(
      `${turn.server} gives no relay address: check its address, its secret, and the clocks of that server and of the nodes.`,
    )
  if (!turn && (mapping === 'address-dependent' || mapping === 'blocked'))
    advice.push(
      'Direct channels often fail from this network: configure a TURN server, or send messages through the nodes.',
    )
  return advice
}

function gather(
  connection: Gatherer,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Gathering> {
  const found: Found[] = []
  const start = clock.now()
  return new Promise<Gathering>((resolve, reject) => {
    const finish = (complete: boolean, ms: number): void => {
      end()
      resolve({ found, complete, ms })
    }
    const timer = clock.after(timeoutMs, () => finish(false, timeoutMs))
    const ignore = onAbort(signal, () => {
      end()
      reject(abortError(signal))
    })
    const end = (): void => {
      timer.cancel()
      ignore()
      connection.close()
    }
    connection.addEventListener('icecandidate', ({ candidate }) => {
      const [, address = '', port = '', type = '', base = ''] =
        /(?: \S+){3} (\S+) (\d+) typ (\w+)(?: raddr (\S+ rport \d+))?/.exec(candidate?.candidate ?? '') ?? []
      if (type !== '') found.push({ type, address, port, base })
    })
    connection.addEventListener('icegatheringstatechange', () => {
      if (connection.iceGatheringState !== 'complete') return
      const ms = clock.now() - start
      clock.after(SETTLE_MS, () => finish(true, ms))
    })
    connection.createDataChannel('', { negotiated: true, id: 0 })
    connection
      .createOffer()
      .then((offer) => connection.setLocalDescription(offer))
      .catch((error: unknown) => {
        end()
        reject(error)
      })
  })
}
