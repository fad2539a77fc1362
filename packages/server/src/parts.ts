import { Node, type Backend, type Clock, type OnError, type Session } from '@peerage/core'
import type { LinkedBackend, LinksOptions } from '@peerage/node-links'
import { appOf, type App } from '@peerage/protocol'
import { BanSweep } from './access/ban-sweep.js'
import { createMakeAccess } from './access/make-access.js'
import { createOutbound, type Outbound } from './access/outbound.js'
import { Revocations } from './access/revocations.js'
import type { Api } from './api/create-api.js'
import { createNodeApi } from './api/node-api.js'
import { Apps } from './apps/apps.js'
import { createBackend, linkedBackend } from './backend.js'
import type { Config } from './config/schema.js'
import { TlsFiles } from './config/tls-files.js'
import type { HttpGateway } from './gateway/http-gateway.js'
import type { PeerJsHooks } from './gateway/peerjs/options.js'
import type { Access } from './gateway/shared/access.js'
import { createGateways } from './gateways.js'
import { readVersion } from './lib/version.js'
import { countBus, type CountedBackend } from './metrics/bus-counts.js'
import { errorLog, eventLog, type Logger } from './metrics/log.js'
import { Metrics } from './metrics/metrics.js'
import type { Readings } from './metrics/readings.js'
import { P2PServer } from './p2p-server.js'
import { redisAdvice } from './redis-advice.js'
import { Reloads } from './reload.js'

export interface PartsOptions extends PeerJsHooks {
  config: Config
  log: Logger
  /** An application's own rules. They replace the access rules of the configuration. */
  access?: Access | undefined
  clock: Clock
  backend?: Backend | undefined
  /** The error in words for its reader. */
  worded: (error: unknown) => unknown
}

/** Everything that a node is made of, except its ports. */
export interface Parts {
  node: Node
  metrics: Metrics
  apps: Apps
  /** The API for application servers. */
  api: Api
  reloads: Reloads
  gateways: readonly HttpGateway[]
  p2p: P2PServer
  /** The TLS files. */
  files: TlsFiles
  sweep: BanSweep
  /** Calls to other servers: key sets and webhooks. */
  outbound: Outbound
  /** The store with links to other nodes. Undefined if links are off. */
  links: LinkedBackend | undefined
  onError: OnError
  /** What the metrics read on each scrape. Whether the node is ready depends on its ports, too. */
  readings: Omit<Readings, 'ready'>
}

/** Makes the parts of a node. Nothing starts. */
export function createParts(options: PartsOptions): Parts {
  const { config, log, access, clock, backend: _, worded: __, ...hooks } = options
  const reports = createReports(options)
  const { metrics, onError } = reports
  const { node, store, links } = createNode(options, {
    ...reports,
    onEvent: (event, details) => {
      reports.onEvent(event, details)
      if (event === 'doubt') sweep.begin()
    },
  })
  const p2p = new P2PServer(onError)
  const outbound = createOutbound({ clock })
  const apps = new Apps({ config, makeAccess: createMakeAccess({ clock, outbound, onError }) })
  const setIndexed = (): void => node.indexing.setIndexed((app) => apps.of(app)?.indexed ?? false)
  setIndexed()
  apps.onReplaced(setIndexed)
  const api = createNodeApi({ config, apps, node, store, metrics, clock, onError })
  const revocations = new Revocations({ records: store.records, clock, onError })
  const sweep = new BanSweep({ node, apps, revocations, clock, onError })
  const gateways = createGateways({
    ...hooks,
    config,
    apps,
    access,
    revocations,
    node,
    clock,
    metrics,
    log,
    udpPort: () => p2p.port,
    onError,
  })
  const readings: Parts['readings'] = {
    connections: () => new Map(gateways.map((gateway) => [gateway.wire, gateway.connections])),
    apps: () => peersByApp(node, apps),
    names: () => node.leases.count,
    anonymous: () => ({
      peers: node.sessions.anonymousCount,
      rooms: node.anonymousRooms.count,
      roomMemberships: node.anonymousRooms.memberships,
      poolMemberships: node.pools.count,
    }),
    fenced: () => node.fenced,
    draining: () => node.draining,
    stun: () => p2p.counters,
    bus: () => store.counts,
    links: () => links?.links,
    nodesLive: () => store.nodes.list().filter(({ status }) => status.state === 'live').length,
  }
  const reloads = new Reloads({ config, apps, node, clock, metrics, log })
  const { files } = reports
  return {
    node,
    metrics,
    apps,
    api,
    reloads,
    gateways,
    p2p,
    files,
    sweep,
    outbound,
    links,
    onError,
    readings,
  }
}

/** Where the parts report what happens: to the metrics and to the log. */
interface Reports {
  metrics: Metrics
  files: TlsFiles
  onError: OnError
  onEvent: LinksOptions['onEvent']
}

function createReports({ config, log, clock, worded }: PartsOptions): Reports {
  const metrics = new Metrics({ version: readVersion(), node: process.version })
  const advise = redisAdvice(config.redis)
  const logError = errorLog(log, () => clock.monotonic(), advise)
  const logEvent = eventLog(log, () => clock.monotonic(), advise)
  return {
    metrics,
    files: new TlsFiles({
      clock,
      onRenewed: (section, validTo) => log.info({ section, validTo }, 'certificate renewed'),
      onError: (error) => {
        metrics.failed('tls files')
        log.warn({ stage: 'tls files', error: error.message }, 'failed')
      },
    }),
    onError: (error, context) => {
      metrics.failed(context.stage)
      logError(worded(error), context)
    },
    onEvent: (event, details) => {
      metrics.happened(event, details)
      logEvent(event, details)
    },
  }
}

function createNode(
  { config, clock, backend }: PartsOptions,
  { metrics, files, onError, onEvent }: Reports,
): { node: Node; store: CountedBackend; links: LinkedBackend | undefined } {
  const onCanary: Metrics['canary'] = (canary) => metrics.canary(canary)
  const inner = backend ?? createBackend(config, { clock, files, onError, onCanary })
  const undelivered: LinksOptions['undelivered'] = (envelope) => node.router.undelivered(envelope)
  const links = linkedBackend(config, inner, { clock, undelivered, onError, onEvent })
  const store = countBus(links ?? inner)
  const node: Node = new Node({
    backend: store,
    times: config.times,
    clock,
    claimMs: config.limits.handshakeMs,
    mailboxMs: config.peerjs.expireMs,
    onError,
    onEvent,
  })
  return { node, store, links }
}

/** How many peers this node has let in to each app, by the label of the app in metrics. */
function peersByApp(node: Node, apps: Apps): ReadonlyMap<string, number> {
  const counts = new Map(apps.all().map(({ label }) => [label, 0]))
  for (const session of node.sessions.all()) {
    const app = appOfSession(session)
    if (app === undefined) continue
    const label = apps.labelOf(app)
    counts.set(label, (counts.get(label) ?? 0) + 1)
  }
  return counts
}

/** The app of a peer that has been let in. */
function appOfSession(session: Session): App | undefined {
  switch (session.state) {
    case 'online':
      return appOf(session.peer)
    case 'anonymous':
      return session.app
    case 'opening':
    case 'closing':
      return undefined
  }
}
