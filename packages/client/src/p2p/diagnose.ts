import { formatIceUrl, icePort, iceTransport, parseIceUrl } from '@peerage/protocol'
import { abortError, onAbort } from '../lib/abort.js'
import type { Clock } from '../lib/clock.js'

/** How the NAT in front of this peer maps its address (RFC 4787 §4.1). */
export type Mapping =
  /** There is none: the address seen outside is one of this machine's. */
  | 'no-nat'
  /** The same for every destination: direct channels come about with most peers. */
  | 'endpoint-independent'
  /** Another for each destination ("symmetric"): direct channels need an easy NAT on the other side. */
  | 'address-dependent'
  /** Only one server answered, so there was nothing to compare. */
  | 'unknown'
  /** No server answered. */
  | 'blocked'

/** One server's answer, and how long it took in milliseconds. */
export interface Probe {
  server: string
  answers: boolean
  ms: number
}

export interface Diagnosis {
  mapping: Mapping
  /** This peer's addresses as seen from outside, as ip:port. */
  reflexive: string[]
  /** Null: none is known. */
  stun: Probe | null
  turn: Probe | null
  /** What to do, in sentences; empty when all is well. */
  advice: string[]
}

export interface DiagnoseOptions {
  /** Milliseconds until a server counts as silent; 5,000 by default. */
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
}

/** As much of an RTCPeerConnection as gathering takes. */
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
  /** Where the reflexive candidate was asked from; browsers may hide it. */
  base: string
}

interface Gathering {
  found: Found[]
  /** Every server has answered. */
  complete: boolean
  ms: number
}

const TIMEOUT_MS = 5_000
/** node-datachannel says that it has gathered a little before it says what. */
const SETTLE_MS = 50

/** Asks the P2P and TURN servers, and compares what they say of this peer's address. */
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
    // libjuice asks one STUN server, drawn by lot, but the TURN server too; browsers ask every one.
    comparesAll = typeof connection.restartIce === 'function'
    return gather(connection, clock, timeoutMs, signal)
  }
  const stunServer = servers.find(({ urls }) => String(urls).startsWith('stun:'))
  const turnServer = servers.find(({ urls }) => String(urls).startsWith('turn'))
  const [stunUrl, turnUrl] = [stunServer, turnServer].map((server) => [server?.urls ?? []].flat()[0])
  // Every TURN server over UDP answers Binding requests as well (RFC 8656 §2), from another address than the first.
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
    reflexive: [...new Set(found.filter(isReflexive).map(({ address, port }) => `${address}:${port}`))],
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

/** Whether the stack keeps any URL of this server: libjuice leaves out TURN over TCP and TLS. */
function isUsable(server: RTCIceServer, make: (configuration: RTCConfiguration) => Gatherer): boolean {
  const connection = make({ iceServers: [server] })
  const kept = connection.getConfiguration?.().iceServers
  connection.close()
  return kept === undefined || kept.length > 0
}

const isReflexive = ({ type }: Found): boolean => type === 'srflx'

/** A reflexive candidate that equals a host's is left out, so an early end is an answer too; a relay is not. */
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
    advice.push(`${stun.server} does not answer: check its address, and that UDP may leave this network.`)
  if (!isTurnUsable)
    advice.push(
      `${turn?.server} is of no use to this WebRTC stack: node-datachannel takes TURN over UDP alone, so add a URL such as turn:host:3478.`,
    )
  else if (turn?.answers === false)
    advice.push(`${turn.server} gives no relay: check its address, its secret, and the clocks of both sides.`)
  if (!turn && (mapping === 'address-dependent' || mapping === 'blocked'))
    advice.push('Direct channels often fail from here: configure a TURN server, or send through the server.')
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
