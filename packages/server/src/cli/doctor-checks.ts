import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'
import { icePort, iceTransport, parseHostPort, parseIceUrl } from '@peerage/protocol'
import { bindUdp, queryBinding } from '@peerage/stun'
import { reasonOf } from '../lib/reason.js'
import { isPrivate } from '../config/hosts.js'
import type { Config } from '../config/schema.js'
import { loadPage, PAGE_DIRECTORY } from '../http/page.js'
import { readTls } from '../config/tls-files.js'
import { urlWires } from '../config/url-wires.js'

export interface Finding {
  verdict: 'ok' | 'warn' | 'fail'
  subject: string
  /** What was found. For a warning or a failure, also what to do. */
  text: string
}

const OLDEST_NODE = [20, 19] as const
/** A node also needs descriptors for Redis, logs, files and Node itself. */
const SPARE_DESCRIPTORS = 200
/** The default of Linux since 5.4. */
const WAITING_CONNECTIONS = 4_096
/** A STUN server on the internet answers within 200 ms. Two requests may be lost. */
const STUN_QUERY = { rtoMs: 300, attempts: 3, lastWaitRtos: 3 } as const

export function checkNodeVersion(version: string): Finding {
  const subject = 'node'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldMajor, oldMinor] = OLDEST_NODE
  if (major > oldMajor || (major === oldMajor && minor >= oldMinor))
    return { verdict: 'ok', subject, text: `version ${version}` }
  return { verdict: 'fail', subject, text: `version ${version}: install ${OLDEST_NODE.join('.')} or later` }
}

/** On Linux, a process reads its limits in /proc. */
export function checkDescriptors(config: Config, readFile: (path: string) => string): Finding {
  const subject = 'descriptors'
  let table: string
  try {
    table = readFile('/proc/self/limits')
  } catch {
    // Only Linux has /proc.
    return { verdict: 'warn', subject, text: 'the limit cannot be read here; check it with ulimit -n' }
  }
  const soft = /^Max open files\s+(\S+)/m.exec(table)?.[1]
  if (soft === undefined || soft === 'unlimited') return { verdict: 'ok', subject, text: 'unlimited' }
  const most = Number(soft) - SPARE_DESCRIPTORS
  const wanted = config.limits.node.connections
  if (wanted > 0 && most >= wanted)
    return { verdict: 'ok', subject, text: `${soft}: enough for ${wanted} connections` }
  const aim = wanted === 0 ? 'more' : String(wanted)
  const advice = `raise it (ulimit -n, LimitNOFILE) for ${aim}, or lower limits.node.connections`
  return { verdict: 'warn', subject, text: `${soft}: about ${most} connections; ${advice}` }
}

/**
 * When a node dies, all its peers connect to the other nodes at once. A connection that the system refuses is tried again
 * only after 1, 3, 7 and 15 s.
 */
export function checkBacklog(readFile: (path: string) => string): Finding {
  const subject = 'backlog'
  let most: number
  try {
    most = Number(readFile('/proc/sys/net/core/somaxconn'))
  } catch {
    // Only Linux has this file.
    return {
      verdict: 'warn',
      subject,
      text: 'how many connections may wait to be accepted cannot be read here',
    }
  }
  if (most >= WAITING_CONNECTIONS)
    return { verdict: 'ok', subject, text: `${most} connections may wait to be accepted` }
  const advice = `set net.core.somaxconn to ${WAITING_CONNECTIONS} or more; else, when a node dies, its peers take longer to reconnect`
  return { verdict: 'warn', subject, text: `only ${most} connections may wait to be accepted: ${advice}` }
}

/**
 * The widest networks that are usual for balancers, as prefix lengths. A private network of 4,096 addresses is a large
 * subnet; a wider one has machines and pods that are no balancers. The widest public ones are those of a CDN.
 */
const WIDEST_PROXIES = { private: { ipv4: 20, ipv6: 64 }, public: { ipv4: 12, ipv6: 24 } } as const

/** Whoever has an address in `trustedProxies` can name any address as that of its peer, and so avoid limits.address. */
export function checkProxies({ trustedProxies }: Config): Finding[] {
  const subject = 'proxies'
  const wide = trustedProxies.filter((network) => {
    const [address = '', bits] = network.split('/')
    const widest = WIDEST_PROXIES[isPrivate(address) ? 'private' : 'public']
    return bits !== undefined && Number(bits) < widest[ipaddr.parse(address).kind()]
  })
  if (trustedProxies.length === 0) return []
  if (wide.length === 0) return [{ verdict: 'ok', subject, text: trustedProxies.join(', ') }]
  const text = `${wide.join(', ')}: everything there may name any address as that of its peer; list only the addresses of your balancers in trustedProxies`
  return [{ verdict: 'warn', subject, text }]
}

/** Certificates are usually renewed well before the last tenth of their life. */
const LAST_TENTH = 0.1

/** The certificate that `serve` would serve. */
export function checkTls({ tls }: Config, now: number): Finding {
  const subject = 'tls'
  try {
    const { validFrom, validTo } = new X509Certificate(readTls('tls', tls).cert ?? '')
    const [from, to] = [new Date(validFrom).getTime(), new Date(validTo).getTime()]
    if (to < now) return { verdict: 'fail', subject, text: `the certificate ended on ${validTo}: renew it` }
    if (from > now)
      return { verdict: 'fail', subject, text: `the certificate begins on ${validFrom}: check the clock` }
    const until = `the certificate ends on ${validTo}`
    if (to - now > LAST_TENTH * (to - from)) return { verdict: 'ok', subject, text: until }
    return {
      verdict: 'warn',
      subject,
      text: `${until}: renew it; running nodes read the new file by themselves`,
    }
  } catch (error) {
    return { verdict: 'fail', subject, text: reasonOf(error) }
  }
}

/** Checks the P2P and TURN servers that peers are told to use: it asks each address as a peer would. */
export async function checkAdvice(config: Config): Promise<Finding[]> {
  const { server, advertise, useAsP2PServer, turn } = config.p2p
  const findings: Finding[] = []
  if (server !== null) findings.push(await checkStun('p2p server', server, parseHostPort(server)))
  else if (!useAsP2PServer)
    findings.push({
      verdict: 'warn',
      subject: 'p2p server',
      text: 'none: peers exchange messages through this server only',
    })
  else if (advertise === null) {
    const text = 'integrated, on the TCP port + 1; behind a balancer set p2p.advertise'
    findings.push({ verdict: 'ok', subject: 'p2p server', text })
  } else {
    const text = `integrated, advertised as ${advertise}: UDP there must reach TCP port + 1 of this node`
    findings.push({ verdict: 'ok', subject: 'p2p server', text })
  }
  if (turn.urls.length === 0) findings.push({ verdict: 'warn', subject: 'turn', text: noTurn(config) })
  for (const url of turn.urls) findings.push(await checkTurn(url))
  return findings
}

/** Messages are relayed only for peers that ask this server to: those with the SDK. */
function noTurn(config: Config): string {
  const others = [
    ...(config.peerjs.enabled ? ['PeerJS'] : []),
    ...urlWires(config).flatMap(({ isOn, client }) => (isOn ? [client] : [])),
  ]
  if (!config.relay.enabled) return 'none: where no direct path exists, peers do not connect'
  const relayed = 'where no direct path exists, this server relays messages of the SDK'
  return others.length === 0
    ? `none: ${relayed}`
    : `none: ${relayed}; clients of ${others.join(', ')} do not connect there`
}

async function checkTurn(url: string): Promise<Finding> {
  const subject = 'turn'
  const read = parseIceUrl(url)
  if (!read.ok) return { verdict: 'fail', subject, text: `${url} ${read.problem}` }
  if (iceTransport(read.value) !== 'udp')
    return { verdict: 'ok', subject, text: `${url} (not tried: only UDP can be)` }
  return checkStun(subject, url, { host: read.value.host, port: icePort(read.value) })
}

async function checkStun(
  subject: string,
  at: string,
  target: { host: string; port: number } | undefined,
): Promise<Finding> {
  if (target === undefined) return { verdict: 'fail', subject, text: `${at} is not host:port` }
  const advice = `check the name, the process there, and that every firewall lets UDP ${target.port} through`
  let address: string
  let socket: Socket
  try {
    address = (await lookup(target.host)).address
    // Fails on a machine without IPv6.
    socket = await bindUdp(isIPv6(address) ? '::' : '0.0.0.0', 0)
  } catch (error) {
    return { verdict: 'fail', subject, text: `${at}: ${reasonOf(error)}; ${advice}` }
  }
  try {
    const result = await queryBinding({ socket, address, port: target.port, ...STUN_QUERY })
    switch (result.kind) {
      case 'answered':
        return { verdict: 'ok', subject, text: `${at} answers STUN in ${result.roundTripMs.toFixed(1)} ms` }
      case 'refused':
        return { verdict: 'fail', subject, text: `${at} refuses: ${result.code} ${result.reason}; ${advice}` }
      case 'failed':
        return { verdict: 'fail', subject, text: `${at}: ${result.error.message}; ${advice}` }
      case 'timeout':
      case 'aborted':
        return { verdict: 'fail', subject, text: `${at} does not answer STUN over UDP; ${advice}` }
    }
  } finally {
    socket.close()
  }
}

export function checkPage(config: Config): Finding {
  const subject = 'page'
  if (!config.page) return { verdict: 'ok', subject, text: 'switched off' }
  if (loadPage() !== undefined) return { verdict: 'ok', subject, text: 'built' }
  return {
    verdict: 'warn',
    subject,
    text: `not built (${PAGE_DIRECTORY}): run npm run build, or set --no-page`,
  }
}
