import {
  Node,
  inTurn,
  systemClock,
  type Backend,
  type Clock,
  type OnError,
  type Readiness,
} from '@peerage/core'
import type { LinkedBackend, LinksOptions } from '@peerage/node-links'
import { addressWarning, createBackend, linkedBackend, startFailure } from './backend.js'
import { asBase } from './config/kinds.js'
import type { Config } from './config/schema.js'
import { TlsFiles } from './config/tls-files.js'
import type { HttpGateway } from './gateway/http-gateway.js'
import type { PeerJsHooks } from './gateway/peerjs/options.js'
import type { Access } from './gateway/shared/access.js'
import { createGateways } from './gateways.js'
import { listenAdmin } from './http/admin.js'
import { attachTo } from './http/attach.js'
import { AttachedPorts } from './http/attached-ports.js'
import { closeServer, listenPair, localHost, type AnyServer } from './http/listen.js'
import { createOwnServer } from './http/own-server.js'
import { keepStringsFast } from './lib/fast-strings.js'
import { readVersion } from './lib/version.js'
import { countBus } from './metrics/bus-counts.js'
import { errorLog, eventLog, type Logger } from './metrics/log.js'
import { Metrics } from './metrics/metrics.js'
import { P2PServer } from './p2p-server.js'
import { redisAdvice } from './redis-advice.js'

/** Where a node listens, once it does. */
export interface Listening {
  /** What to open in a browser on this machine. */
  url: string
  port: number
  /** The integrated P2P server's UDP port. */
  p2p: { port: number } | null
  /** Base URL of the admin port. */
  admin: string | null
}

export interface ServerOptions extends PeerJsHooks {
  config: Config
  log: Logger
  access?: Access | undefined
  clock?: Clock | undefined
  backend?: Backend | undefined
}

/** Of the time for a drain, this share is for moving peers; the rest ends sessions, leases and sockets. */
const MOVING_SHARE = 0.6

/** How often a starting node looks whether it is ready. */
const READY_POLL_MS = 25

/** The composition root: one node with its store, its gateways and its ports. It starts nothing by itself. */
export class PeerageServer {
  readonly node: Node
  readonly metrics: Metrics
  readonly #config: Config
  readonly #log: Logger
  readonly #clock: Clock
  readonly #files: TlsFiles
  readonly #gateways: readonly HttpGateway[]
  readonly #p2p: P2PServer
  readonly #onError: OnError
  readonly #links: LinkedBackend | undefined
  readonly #ports = new AttachedPorts()
  readonly #holder = { hasEnded: () => this.#hasEnded }
  /** Undoes what was attached and opened, last first. */
  readonly #closers: (() => Promise<void> | void)[] = []
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor({ config, log, access, clock = systemClock, backend, ...hooks }: ServerOptions) {
    keepStringsFast()
    const metrics = new Metrics({ version: readVersion(), node: process.version })
    const advise = redisAdvice(config.redis)
    const logError = errorLog(log, () => clock.monotonic(), advise)
    const logEvent = eventLog(log, () => clock.monotonic(), advise)
    const onError: OnError = (error, context) => {
      metrics.failed(context.stage)
      logError(error, context)
    }
    const files = new TlsFiles({
      clock,
      onRenewed: (section, validTo) => log.info({ section, validTo }, 'certificate renewed'),
      onError: (error) => {
        metrics.failed('tls files')
        log.warn({ stage: 'tls files', error: error.message }, 'failed')
      },
    })
    const onCanary: Metrics['canary'] = (canary) => metrics.canary(canary)
    const onEvent: LinksOptions['onEvent'] = (event, details) => {
      metrics.happened(event, details)
      logEvent(event, details)
    }
    const inner = backend ?? createBackend(config, { clock, files, onError, onCanary })
    const undelivered: LinksOptions['undelivered'] = (envelope) => node.router.undelivered(envelope)
    const linked = linkedBackend(config, inner, { clock, undelivered, onError, onEvent })
    const store = countBus(linked ?? inner)
    const node: Node = new Node({
      backend: store,
      times: config.times,
      clock,
      claimMs: config.limits.handshakeMs,
      mailboxMs: config.peerjs.expireMs,
      onError,
      onEvent,
    })
    const p2p = new P2PServer(onError)
    const udpPort = (): number | null => p2p.port
    const gateways = createGateways({ ...hooks, config, access, node, clock, metrics, log, udpPort, onError })
    metrics.observe({
      connections: () => new Map(gateways.map((gateway) => [gateway.wire, gateway.connections])),
      names: () => node.leases.count,
      ready: () => this.readiness().ready,
      fenced: () => node.fenced,
      draining: () => node.draining,
      stun: () => p2p.counters,
      bus: () => store.counts,
      links: () => linked?.links,
      nodesLive: () => store.nodes.list().filter(({ status }) => status.state === 'live').length,
    })
    this.node = node
    this.metrics = metrics
    this.#config = config
    this.#log = log
    this.#clock = clock
    this.#files = files
    this.#gateways = gateways
    this.#p2p = p2p
    this.#onError = onError
    this.#links = linked
  }

  /** `host:port` that the other nodes are told for links; null: none yet, or there are no links. */
  get linksAddress(): string | null {
    return this.#links?.links.address ?? null
  }

  readiness(): Readiness {
    const readiness = this.node.readiness()
    const failure = this.#ports.failure
    return readiness.ready && failure !== undefined
      ? { ready: false, reason: 'port', why: failure }
      : readiness
  }

  /**
   * Connects to the store and lets peers in. Rejects for what no retry can mend, such as a Redis that is too old;
   * an absent Redis is waited for. It starts once, however often it is called.
   */
  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  /**
   * Resolves when the node is ready for the first time, or begins to stop. Rejects as `start` does, and where a server
   * that it is attached to cannot listen.
   */
  async ready(): Promise<void> {
    await this.start()
    while (!this.node.draining && !this.readiness().ready) {
      const failure = this.#ports.failure
      if (failure !== undefined) throw new Error(failure)
      await new Promise<void>((resolve) => void this.#clock.after(READY_POLL_MS, resolve))
    }
  }

  /**
   * Lives on somebody's HTTP server, beside its other handlers. The P2P server follows the server's port.
   * @throws Error after `stop` or `drain`, and where a node is at the same path of this server already
   */
  attach(server: AnyServer): void {
    this.#mustNotHaveEnded()
    this.#closers.push(this.#takeFrom(server), this.#ports.watch(server))
    if (this.#config.p2p.useAsP2PServer) this.#p2p.follow(server)
    this.start().catch((error: unknown) => this.#onError(error, { stage: 'start' }))
  }

  /** Listens where the configuration says, with the node's own HTTP. Rejects with PortUnavailable, and after `stop`. */
  async listen(): Promise<Listening> {
    this.#mustNotHaveEnded()
    const { host, path, p2p, tls } = this.#config
    const onError = this.#onError
    const server = createOwnServer(this.#config, {
      readiness: () => this.readiness(),
      files: this.#files,
      onError,
    })
    const at = { host, port: this.#config.port, setting: 'port (--port)' }
    const { port, udp } = await listenPair(server, at, p2p.useAsP2PServer)
    // Such as too many open files.
    server.on('error', (error) => onError(error, { stage: 'port' }))
    if (udp.length > 0) await this.#p2p.start(udp, port + 1)
    await this.#closeAtEnd(server)
    this.#closers.push(this.#takeFrom(server))
    return {
      url: `${tls.cert === null ? 'http' : 'https'}://${localHost(host)}:${port}${path === '/' ? '' : asBase(path)}`,
      port,
      p2p: udp.length > 0 ? { port: port + 1 } : null,
      admin: await this.#listenAdmin(),
    }
  }

  /**
   * Not ready from now on, and nobody comes in any more: claims are answered `draining`, those that are on their way
   * included. The peers that are here are told to move, then everything ends within `times.drainMs`.
   */
  async drain(): Promise<void> {
    this.#log.info('draining')
    this.node.beginDrain()
    const ms = this.#config.times.drainMs * MOVING_SHARE
    await this.#each('drain', (gateway) => gateway.drain(ms))
    await this.stop()
  }

  /** Takes up renewed TLS files at once; without that, within seconds. */
  readTlsAgain(): void {
    this.#log.info(this.#files.none ? 'no TLS files to read again' : 'reading the TLS files again')
    this.#files.readAgain()
  }

  /** Ends everything that was started: sockets, timers, ports, the store's connections. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  get #hasEnded(): boolean {
    return this.node.draining || this.#stopping !== undefined
  }

  // What it would start then, nothing would end.
  #mustNotHaveEnded(): void {
    if (this.#hasEnded)
      throw new Error('this node has been stopped, and does not start again: make another one')
  }

  async #start(): Promise<void> {
    this.#files.start()
    for (const gateway of this.#gateways) await gateway.start()
    try {
      await this.node.start()
    } catch (error) {
      throw startFailure(error, this.#config)
    }
    if (this.#links !== undefined) void this.#lookAtAddress()
  }

  /** The address that the node announces is known when it is ready; why it is not, `ready` tells those who ask. */
  async #lookAtAddress(): Promise<void> {
    await this.ready().catch(() => {})
    const warning = addressWarning(this.#config, this.linksAddress)
    if (warning !== undefined) this.#log.warn({ stage: 'link', links: this.linksAddress }, warning)
  }

  /** The admin port, where there is to be one. */
  async #listenAdmin(): Promise<string | null> {
    const { host, port: wanted } = this.#config.admin
    if (wanted === null) return null
    const { server, port } = await listenAdmin(
      { host, port: wanted },
      { metrics: this.metrics, readiness: () => this.readiness(), onError: this.#onError },
    )
    await this.#closeAtEnd(server)
    return `http://${localHost(host)}:${port}`
  }

  /** At once, and then it rejects, where the node has ended while the server began to listen. */
  async #closeAtEnd(server: AnyServer): Promise<void> {
    const close = (): Promise<void> => closeServer(server)
    if (!this.#hasEnded) return void this.#closers.push(close)
    await inTurn([close], this.#notStopped)
    this.#mustNotHaveEnded()
  }

  #takeFrom(server: AnyServer): () => void {
    return attachTo(server, {
      gateways: this.#gateways,
      holder: this.#holder,
      clock: this.#clock,
      metrics: this.metrics,
    })
  }

  // The node first: it ends the sessions, and the gateways then end what is left of their sockets. A step that fails is
  // reported, and the others are taken all the same.
  async #stop(): Promise<void> {
    const steps = [() => this.node.stop(), () => this.#each('stop', (gateway) => gateway.stop())]
    await inTurn(steps, this.#notStopped)
    const closers = this.#closers.splice(0).reverse()
    await inTurn([...closers, () => this.#p2p.stop(), () => this.#files.stop()], this.#notStopped)
  }

  readonly #notStopped = (error: unknown): void => this.#onError(error, { stage: 'stop' })

  async #each(stage: string, act: (gateway: HttpGateway) => Promise<void> | void): Promise<void> {
    const step = async (gateway: HttpGateway): Promise<void> =>
      inTurn([() => act(gateway)], (error) => this.#onError(error, { stage }))
    await Promise.all(this.#gateways.map(step))
  }
}
