import type { Socket as UdpSocket } from 'node:dgram'
import {
  Node,
  inTurn,
  systemClock,
  type Backend,
  type Clock,
  type OnError,
  type Readiness,
} from '@peerage/core'
import { createStunServer, type StunServer } from '@peerage/stun'
import { checkedAccess, staticAccess, type Access } from './gateway/shared/access.js'
import { Addresses } from './gateway/shared/address.js'
import { listenAdmin } from './http/admin.js'
import { attachTo, type HttpGateway } from './gateway/attach.js'
import { AttachedPorts } from './gateway/attached-ports.js'
import { createBackend, type BackendParts } from './backend.js'
import { countBus, type CountedBackend } from './metrics/bus-counts.js'
import { asBase } from './config/kinds.js'
import type { Config } from './config/schema.js'
import type { PeerJsHooks } from './gateway/peerjs/gateway.js'
import { createGateways } from './gateway/gateways.js'
import { Limits } from './gateway/shared/limits.js'
import {
  addressOf,
  bindNeighbour,
  closeServer,
  closersOf,
  listenPair,
  localHost,
  type AnyServer,
} from './http/listen.js'
import { errorLog, type Logger } from './metrics/log.js'
import { Metrics } from './metrics/metrics.js'
import { createOwnServer } from './http/own-server.js'
import { p2pAdvice } from './gateway/shared/p2p-advice.js'
import { takePlaces } from './gateway/places.js'
import { TlsFiles } from './http/tls-files.js'
import { readVersion } from './config/version.js'

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

export interface ServerParts extends PeerJsHooks {
  config: Config
  log: Logger
  access?: Access
  clock?: Clock
  backend?: Backend
}

/** Of the time for a drain, this share is for moving peers; the rest ends sessions, leases and sockets. */
const MOVING_SHARE = 0.6

/** How often a starting node looks whether it is ready. */
const READY_POLL_MS = 25

/** The composition root: one node with its gateways, its store and its ports. It starts nothing by itself. */
export class PeerageServer {
  readonly node: Node
  readonly metrics: Metrics
  readonly #config: Config
  readonly #log: Logger
  readonly #clock: Clock
  readonly #gateways: readonly HttpGateway[]
  readonly #onError: OnError
  readonly #files: TlsFiles
  /** Undoes what was started, last first. */
  readonly #closers: (() => Promise<void> | void)[] = []
  readonly #ports = new AttachedPorts()
  readonly #holder = { hasEnded: () => this.#hasEnded }
  #udpPort: number | null = null
  #stun: StunServer | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor({ config, log, access, clock = systemClock, backend, ...hooks }: ServerParts) {
    this.#config = config
    this.#log = log
    this.#clock = clock
    this.metrics = new Metrics({ version: readVersion(), node: process.version })
    const logError = errorLog(log, () => clock.monotonic())
    this.#onError = (error, context) => {
      this.metrics.failed(context.stage)
      logError(error, context)
    }
    this.#files = new TlsFiles({
      clock,
      onRenewed: (section, validTo) => log.info({ section, validTo }, 'certificate renewed'),
      onError: (error) => {
        this.metrics.failed('tls files')
        log.warn({ stage: 'tls files', error: error.message }, 'failed')
      },
    })
    const onCanary: BackendParts['onCanary'] = (canary) => this.metrics.canary(canary)
    const parts = { clock, files: this.#files, onError: this.#onError, onCanary }
    const store = countBus(backend ?? createBackend(config, parts))
    this.node = new Node({
      backend: store,
      times: config.times,
      clock,
      claimMs: config.limits.handshakeMs,
      mailboxMs: config.peerjs.expireMs,
      onError: this.#onError,
      onEvent: (event, details) => this.#happened(event, details),
    })
    this.#gateways = this.#createGateways(access, hooks)
    this.#observe(store)
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
    const places = this.#gateways.map(({ place }) => place)
    this.#closers.push(takePlaces(server, places, this.#holder))
    this.#closers.push(this.#takeFrom(server), this.#ports.watch(server))
    const bind = (): void => {
      this.#bindBeside(server).catch((error: unknown) => this.#onError(error, { stage: 'p2p server' }))
    }
    if (this.#config.p2p.useAsP2PServer) {
      if (server.listening) bind()
      else server.once('listening', bind)
      this.#closers.push(() => void server.off('listening', bind))
    }
    this.start().catch((error: unknown) => this.#onError(error, { stage: 'start' }))
  }

  /** Listens where the configuration says, with the node's own HTTP. Rejects with PortUnavailable, and after `stop`. */
  async listen(): Promise<Listening> {
    this.#mustNotHaveEnded()
    const { host, port: wanted, path, p2p, tls, admin } = this.#config
    const server = createOwnServer(this.#config, {
      readiness: () => this.readiness(),
      files: this.#files,
      onError: this.#onError,
    })
    const at = { host, port: wanted, flag: '--port' }
    const { port, udp } = await listenPair(server, at, p2p.useAsP2PServer)
    // Such as too many open files.
    server.on('error', (error) => this.#onError(error, { stage: 'port' }))
    if (this.#hasEnded) {
      await inTurn([() => closeServer(server), ...closersOf(udp)], this.#notStopped)
      this.#mustNotHaveEnded()
    }
    const detach = this.#takeFrom(server)
    this.#closers.push(() => {
      detach()
      return closeServer(server)
    })
    if (udp.length > 0) this.#startStun(udp, port + 1)
    return {
      url: `${tls.cert === null ? 'http' : 'https'}://${localHost(host)}:${port}${path === '/' ? '' : asBase(path)}`,
      port,
      p2p: udp.length > 0 ? { port: port + 1 } : null,
      admin: admin.port === null ? null : await this.#listenAdmin(admin.host, admin.port),
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
    this.#closers.push(() => this.#files.stop())
    for (const gateway of this.#gateways) await gateway.start()
    await this.node.start()
  }

  // The node first: it ends the sessions, and the gateways then end what is left of their sockets. A step that fails is
  // reported, and the others are taken all the same.
  async #stop(): Promise<void> {
    const steps = [() => this.node.stop(), () => this.#each('stop', async (gateway) => gateway.stop())]
    await inTurn(steps, this.#notStopped)
    await inTurn(this.#closers.splice(0).reverse(), this.#notStopped)
  }

  readonly #notStopped = (error: unknown): void => this.#onError(error, { stage: 'stop' })

  async #each(stage: string, act: (gateway: HttpGateway) => Promise<void> | void): Promise<void> {
    await Promise.all(this.#gateways.map((gateway) => this.#try(stage, () => act(gateway))))
  }

  async #try(stage: string, act: () => Promise<void> | void): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.#onError(error, { stage })
    }
  }

  /** The P2P server of an application's HTTP server. Rejects where that one listens on no TCP port, such as a pipe. */
  async #bindBeside(server: AnyServer): Promise<void> {
    const { address, port } = addressOf(server)
    const sockets = await bindNeighbour(address, port)
    if (this.#stopping === undefined) this.#startStun(sockets, port + 1)
    else await inTurn(closersOf(sockets), this.#notStopped)
  }

  async #listenAdmin(host: string, wanted: number): Promise<string> {
    const { server, port } = await listenAdmin(
      { host, port: wanted },
      { metrics: this.metrics, readiness: () => this.readiness(), onError: this.#onError },
    )
    this.#closers.push(() => closeServer(server))
    return `http://${localHost(host)}:${port}`
  }

  #takeFrom(server: AnyServer): () => void {
    return attachTo(server, this.#gateways, { clock: this.#clock, metrics: this.metrics })
  }

  #startStun(sockets: UdpSocket[], port: number): void {
    const server: StunServer = createStunServer({
      udp: sockets,
      onError: (error, { stage }) => this.#onError(error, { stage: `stun ${stage}` }),
    })
    server.start()
    this.#udpPort = port
    this.#stun = server
    this.#closers.push(async () => {
      this.#udpPort = null
      await inTurn([() => server.stop(), ...closersOf(sockets)], this.#notStopped)
    })
  }

  #createGateways(access: Access | undefined, hooks: PeerJsHooks): readonly HttpGateway[] {
    const config = this.#config
    const { apps, origins } = config
    const rules = { defaultApp: apps.default, apps: apps.allow, origins, key: config.access.key }
    const advice = p2pAdvice({ p2p: config.p2p, udpPort: () => this.#udpPort, now: () => this.#clock.now() })
    return createGateways({
      ...hooks,
      config,
      node: this.node,
      clock: this.#clock,
      access: access === undefined ? staticAccess(rules) : checkedAccess(access),
      addresses: new Addresses(config.trustedProxies),
      limits: new Limits(config.limits, this.#clock),
      metrics: this.metrics,
      log: this.#log,
      advice,
      onError: this.#onError,
    })
  }

  #observe(backend: CountedBackend): void {
    this.metrics.observe({
      connections: () => new Map(this.#gateways.map((gateway) => [gateway.wire, gateway.connections])),
      names: () => this.node.leases.count,
      ready: () => this.readiness().ready,
      fenced: () => this.node.fenced,
      draining: () => this.node.draining,
      stun: () => this.#stun?.counters,
      bus: () => backend.counts,
      nodesLive: () => backend.nodes.list().filter(({ status }) => status.state === 'live').length,
    })
  }

  #happened(event: string, details: Record<string, unknown>): void {
    this.metrics.happened(event)
    if (event === 'health') this.metrics.health(details['healthy'] === true)
    // A dozen to each handshake, and one to each name of a node that is no more: for who looks into one.
    if (event === 'signal' || event.endsWith(' not told')) return this.#log.debug(details, event)
    const isBad = event === 'lapsed' || (event === 'health' && details['healthy'] !== true)
    this.#log[isBad ? 'warn' : 'info'](details, event)
  }
}
