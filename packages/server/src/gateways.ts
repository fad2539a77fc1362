import type { Clock, Node, OnError } from '@peerage/core'
import { asBase } from './config/kinds.js'
import type { Config } from './config/schema.js'
import type { HttpGateway } from './gateway/http-gateway.js'
import { NativeGateway } from './gateway/native/gateway.js'
import { PeerJsGateway } from './gateway/peerjs/gateway.js'
import type { PeerJsHooks } from './gateway/peerjs/options.js'
import { admitByApp, checkChosen, type Apps } from './apps/apps.js'
import { checkedAccess, type Access, type CheckedAccess } from './gateway/shared/access.js'
import { Addresses } from './gateway/shared/address.js'
import type { AccessRefusal, OnRefused } from './gateway/shared/events.js'
import { Limits } from './gateway/shared/limits.js'
import { p2pAdvice } from './gateway/shared/p2p-advice.js'
import { refusalLog, type Logger } from './metrics/log.js'
import type { Metrics } from './metrics/metrics.js'

export interface GatewaysOptions extends PeerJsHooks {
  config: Config
  apps: Apps
  /** An application's own rules. They replace the access rules of the configuration. */
  access?: Access | undefined
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
  const { p2p } = config
  // An application's own rules may write a name into their texts.
  const logRefusal = refusalLog(options.log, () => clock.monotonic(), { withDetail: access === undefined })
  const shared = {
    ...options,
    access: rulesOf(apps, access),
    addresses: new Addresses(config.trustedProxies),
    limits: new Limits(config.limits, clock),
    onRefused: (refusal: AccessRefusal): void => {
      if (refusal.code !== 'origin')
        metrics.appRefused(apps.labelOf(refusal.app ?? apps.defaultApp), refusal.code)
      logRefusal(refusal)
    },
    advice: p2pAdvice({ p2p, udpPort, now: () => clock.now() }),
  }
  const native = createNative(shared)
  return config.peerjs.enabled ? [native, createPeerJs(shared)] : [native]
}

/** The access rules of the apps, or those of an application, which may choose among the apps. */
function rulesOf(apps: Apps, access: Access | undefined): CheckedAccess {
  if (access === undefined) return { admit: (request) => admitByApp(apps, request) }
  const own = checkedAccess(access)
  return { admit: async (request) => checkChosen(apps, request, await own.admit(request)) }
}

/** The options that all gateways of a node share. */
interface Shared extends Omit<GatewaysOptions, 'access' | 'udpPort'> {
  access: CheckedAccess
  addresses: Addresses
  limits: Limits
  onRefused: OnRefused
  advice: ReturnType<typeof p2pAdvice>
}

/** The path of the native wire below the node's path. SDKs rely on it. */
const NATIVE = 'peerage/'

function createNative(options: Shared): NativeGateway {
  const { config, advice, log, ...shared } = options
  const { limits, relay, times } = config
  return new NativeGateway({
    ...shared,
    log: (event, details) => log.info(details, event),
    engine: {
      pingIntervalMs: times.pingIntervalMs,
      pingTimeoutMs: times.pingTimeoutMs,
      frameBytes: limits.frameBytes,
      bufferedBytes: limits.bufferedBytes,
    },
    commandMs: times.commandMs,
    path: asBase(config.path) + NATIVE,
    relay: relay.enabled ? { bytesPerSecond: relay.bytesPerSecond, messageBytes: relay.messageBytes } : null,
    welcome: (host) => ({
      p2pServer: advice.server(host),
      graceMs: times.graceMs,
      deadlineMs: times.deadlineMs,
      pingMs: times.pingIntervalMs + times.pingTimeoutMs,
    }),
    turn: (session) => advice.turn(session.peer),
  })
}

function createPeerJs(options: Shared): PeerJsGateway {
  const { config, advice: _, log, ...shared } = options
  const { limits, peerjs, times } = config
  return new PeerJsGateway({
    ...shared,
    ...peerjs,
    path: peerjs.path ?? config.path,
    root: asBase(config.path),
    log: (event, details) => log.warn(details, event),
    frameBytes: limits.frameBytes,
    bufferedBytes: limits.bufferedBytes,
    pingIntervalMs: times.pingIntervalMs,
    pingTimeoutMs: times.pingTimeoutMs,
  })
}
