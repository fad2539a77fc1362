import type { Clock, Node, OnError } from '@peerage/core'
import type { Access } from './gateway/shared/access.js'
import type { Addresses } from './gateway/shared/address.js'
import type { HttpGateway } from './gateway/http-gateway.js'
import type { Config } from './config/schema.js'
import { asBase } from './config/kinds.js'
import { createPeerJsGateway, type PeerJsGateway, type PeerJsHooks } from './gateway/peerjs/gateway.js'
import { SocketIoGateway } from './gateway/native/socketio.js'
import type { Limits } from './gateway/shared/limits.js'
import type { Logger } from './metrics/log.js'
import type { Metrics } from './metrics/metrics.js'
import type { P2PAdvice } from './gateway/shared/p2p-advice.js'

/** What all gateways of a node share. */
export interface Entrance extends PeerJsHooks {
  config: Config
  node: Node
  clock: Clock
  access: Access
  addresses: Addresses
  limits: Limits
  metrics: Metrics
  log: Logger
  advice: P2PAdvice
  onError: OnError
}

/** Where the native wire is below the node's path: SDKs rely on it. */
const NATIVE = 'peerage/'

function createNative(entrance: Entrance): SocketIoGateway {
  const { config, advice, log, ...shared } = entrance
  const { limits, relay, times } = config
  return new SocketIoGateway({
    ...shared,
    origins: config.origins,
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
    policy: () => config.apps.taken,
  })
}

function createPeerJs(entrance: Entrance): PeerJsGateway {
  const { config, advice: _, log, ...shared } = entrance
  const { access, limits, origins, peerjs, times } = config
  return createPeerJsGateway({
    ...shared,
    ...peerjs,
    path: peerjs.path ?? config.path,
    root: asBase(config.path),
    sharedKey: access.key,
    origins,
    log: (event, details) => log.warn(details, event),
    frameBytes: limits.frameBytes,
    bufferedBytes: limits.bufferedBytes,
    pingIntervalMs: times.pingIntervalMs,
    pingTimeoutMs: times.pingTimeoutMs,
    policy: () => config.apps.taken,
  })
}

export function createGateways(entrance: Entrance): HttpGateway[] {
  const native = createNative(entrance)
  return entrance.config.peerjs.enabled ? [native, createPeerJs(entrance)] : [native]
}
