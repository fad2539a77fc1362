import type { Clock, Node, OnError } from '@peerage/core'
import { asBase } from './config/kinds.js'
import type { Config } from './config/schema.js'
import type { HttpGateway } from './gateway/http-gateway.js'
import { MatchboxGateway } from './gateway/matchbox/gateway.js'
import { NativeGateway } from './gateway/native/gateway.js'
import { PeerJsGateway } from './gateway/peerjs/gateway.js'
import type { PeerJsHooks } from './gateway/peerjs/options.js'
import { TopicGateway } from './gateway/topics/gateway.js'
import { trystero } from './gateway/trystero/wire.js'
import { yWebrtc } from './gateway/y-webrtc/wire.js'
import { WebTorrentGateway } from './gateway/webtorrent/gateway.js'
import { AppBudgets } from './apps/budgets.js'
import type { AppPolicies } from './apps/policy.js'
import { checkedAccess, type Access, type CheckedAccess } from './gateway/shared/access.js'
import type { GatewayOptions, SocketOptions } from './gateway/shared/gateway.js'
import { Addresses } from './gateway/shared/address.js'
import type { RevocationCheck } from './gateway/shared/claimer.js'
import type { OnRefused } from './gateway/shared/events.js'
import { Limits } from './gateway/shared/limits.js'
import { p2pAdvice } from './gateway/shared/p2p-advice.js'
import { refusalLog, type Logger } from './metrics/log.js'
import type { Metrics } from './metrics/metrics.js'

export interface GatewaysOptions extends PeerJsHooks {
  config: Config
  apps: AppPolicies & { onReplaced(listener: () => void): () => void }
  /** An application's own rules. They replace the access rules of the configuration. */
  access?: Access | undefined
  /** Absent: nothing can be banned or revoked. */
  revocations?: RevocationCheck | undefined
  node: Node
  clock: Clock
  metrics: Metrics
  log: Logger
  /** The port of the integrated P2P server, or null while there is none. */
  udpPort: () => number | null
  onError: OnError
}

/** Creates the gateways of the configuration. They share the access rules, the limits and the P2P advice. */
export function createGateways({ access, udpPort, ...options }: GatewaysOptions): HttpGateway[] {
  const { config, clock, apps, metrics } = options
  const budgets = new AppBudgets(apps, clock, metrics)
  const shared: Shared = {
    ...options,
    access: access === undefined ? undefined : checkedAccess(access),
    budgets,
    addresses: new Addresses(config.trustedProxies),
    limits: new Limits(config.limits, clock),
    onRefused: refusalLog(options.log, () => clock.monotonic()),
    advice: p2pAdvice({ p2p: config.p2p, udpPort, now: () => clock.now() }),
  }
  apps.onReplaced(() => budgets.refresh())
  return wires.flatMap(({ isOn, create }) => (isOn(config) ? [create(shared)] : []))
}

/** The options that all gateways of a node share. */
interface Shared extends Omit<GatewaysOptions, 'access' | 'udpPort'> {
  access: CheckedAccess | undefined
  budgets: AppBudgets
  addresses: Addresses
  limits: Limits
  onRefused: OnRefused
  advice: ReturnType<typeof p2pAdvice>
}

interface WireEntry {
  isOn: (config: Config) => boolean
  create: (shared: Shared) => HttpGateway
}

/** The wires of a node. Upgrades are offered to them in this order. */
const wires: readonly WireEntry[] = [
  { isOn: () => true, create: createNative },
  { isOn: ({ peerjs }) => peerjs.enabled, create: createPeerJs },
  {
    isOn: ({ yWebrtc: { enabled } }) => enabled,
    create: (shared) => new TopicGateway(fixedPathOptions(shared), yWebrtc),
  },
  {
    isOn: ({ trystero: { enabled } }) => enabled,
    create: (shared) => new TopicGateway(fixedPathOptions(shared), trystero),
  },
  { isOn: ({ webtorrent }) => webtorrent.enabled, create: createWebTorrent },
  {
    isOn: ({ matchbox }) => matchbox.enabled,
    create: (shared) => new MatchboxGateway(fixedPathOptions(shared)),
  },
]

/** The path of the native wire below the node's path. SDKs rely on it. */
const NATIVE = 'peerage/'

function createNative(options: Shared): NativeGateway {
  const { config, advice, log, ...shared } = options
  const { times } = config
  return new NativeGateway({
    ...shared,
    log: (event, details) => log.info(details, event),
    engine: socketsOf(config),
    commandMs: times.commandMs,
    path: asBase(config.path) + NATIVE,
    welcome: (host) => ({
      p2pServer: advice.server(host),
      graceMs: times.graceMs,
      deadlineMs: times.deadlineMs,
      pingMs: times.pingIntervalMs + times.pingTimeoutMs,
    }),
    turn: (session, policy) => advice.turn(session.peer, policy),
  })
}

function createPeerJs(options: Shared): PeerJsGateway {
  const { config, advice: _, log, ...shared } = options
  const { peerjs } = config
  return new PeerJsGateway({
    ...shared,
    ...peerjs,
    path: peerjs.path ?? config.path,
    root: asBase(config.path),
    log: (event, details) => log.warn(details, event),
    ...socketsOf(config),
  })
}

function createWebTorrent(shared: Shared): WebTorrentGateway {
  const { intervalMs } = shared.config.webtorrent
  return new WebTorrentGateway({ ...fixedPathOptions(shared), intervalMs })
}

/** The options of a wire whose path is fixed below `base`, the path of the node with slashes at both ends. */
type FixedPathOptions = GatewayOptions & SocketOptions & { base: string }

function fixedPathOptions(options: Shared): FixedPathOptions {
  const { config, advice: _, log, ...shared } = options
  return {
    ...shared,
    ...socketsOf(config),
    base: asBase(config.path),
    log: (event, details) => log.warn(details, event),
  }
}

function socketsOf({ limits, times }: Config): SocketOptions {
  const { frameBytes, bufferedBytes } = limits
  const { pingIntervalMs, pingTimeoutMs } = times
  return { frameBytes, bufferedBytes, pingIntervalMs, pingTimeoutMs }
}
