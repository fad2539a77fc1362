import type { Clock, Backend, Node, OnError, Readiness } from '@peerage/core'
import { inTurn, systemClock } from '@peerage/core'
import type { LinkedBackend } from '@peerage/node-links'
import type { BanSweep } from './access/ban-sweep.js'
import type { Outbound } from './access/outbound.js'
import type { Api } from './api/create-api.js'
import type { Apps } from './apps/apps.js'
import { addressWarning, startFailure } from './backend.js'
import { asBase } from './config/kinds.js'
import type { Config } from './config/schema.js'
import type { TlsFiles } from './config/tls-files.js'
import { urlWires, type UrlWire } from './config/url-wires.js'
import { drainInOrder } from './gateway/drain-in-order.js'
import type { HttpGateway } from './gateway/http-gateway.js'
import type { PeerJsHooks } from './gateway/peerjs/options.js'
import type { Access } from './gateway/shared/access.js'
import type { OnRefused } from './gateway/shared/events.js'
import { listenAdmin } from './http/admin.js'
import { listenApi } from './http/api-port.js'
import { attachTo } from './http/attach.js'
import { AttachedPorts } from './http/attached-ports.js'
import { PortUnavailable, closeServer, listenPair, localHost, type AnyServer } from './http/listen.js'
import { createOwnServer } from './http/own-server.js'
import { unservedAt, type Unserved } from './http/unserved.js'
import { keepStringsFast } from './lib/fast-strings.js'
import { withoutFlags } from './lib/without-flags.js'
import { refusalLog, type Logger } from './metrics/log.js'
import type { Metrics } from './metrics/metrics.js'
import type { P2PServer } from './p2p-server.js'
import { createParts } from './parts.js'
import type { Reloads } from './reload.js'

/** Where a node listens. */
export interface Listening {
  /** The URL of the node for programs and browsers on this machine, such as `http://127.0.0.1:9000`. */
  url: string
  /** The TCP port. If the setting `port` is 0, this is the port that was picked. */
  port: number
  /** The UDP port of the integrated P2P server (STUN). Null if it is off. */
  p2p: { port: number } | null
  /**
   * The URL of the API, as the typed client takes it: `url`, or with the setting `api.port` that of this port, such as
   * `http://127.0.0.1:9300`. Null if no app has a key of the API.
   */
  api: string | null
  /** The URL of the admin port, such as `http://127.0.0.1:9100`. Null if the setting `admin.port` is not set. */
  admin: string | null
}

export interface ServerOptions extends PeerJsHooks {
  config: Config
  log: Logger
  access?: Access | undefined
  clock?: Clock | undefined
  backend?: Backend | undefined
  /** In an application. Its errors then name no flags. */
  isEmbedded?: boolean
}

/** The share of the drain time for moving peers. The rest is for ending sessions, leases and sockets. */
const MOVING_SHARE = 0.6

/** How often `ready` checks whether the node is ready. */
const READY_POLL_MS = 25

/** One node with its parts and its ports. The constructor starts nothing. */
export class PeerageServer {
  readonly node: Node
  readonly metrics: Metrics
  /** Takes settings anew while the node runs. */
  readonly reloads: Reloads
  readonly #apps: Apps
  readonly #api: Api
  readonly #outbound: Outbound
  readonly #sweep: BanSweep
  readonly #config: Config
  readonly #log: Logger
  readonly #clock: Clock
  readonly #files: TlsFiles
  readonly #gateways: readonly HttpGateway[]
  readonly #p2p: P2PServer
  readonly #onError: OnError
  readonly #isEmbedded: boolean
  readonly #urlWires: readonly UrlWire[]
  readonly #onRefused: OnRefused
  readonly #links: LinkedBackend | undefined
  readonly #ports = new AttachedPorts()
  readonly #owner = { hasEnded: () => this.#hasEnded }
  /** Functions that undo what was attached and opened. They run in reverse order. */
  readonly #closers: (() => Promise<void> | void)[] = []
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor(options: ServerOptions) {
    const { config, log, access, clock = systemClock, backend, isEmbedded = false, ...hooks } = options
    keepStringsFast()
    const parts = createParts({
      ...hooks,
      config,
      log,
      access,
      clock,
      backend,
      worded: (error) => this.#worded(error),
    })
    parts.metrics.observe({ ...parts.readings, ready: () => this.readiness().ready })
    this.node = parts.node
    this.metrics = parts.metrics
    this.reloads = parts.reloads
    this.#isEmbedded = isEmbedded
    this.#urlWires = urlWires(config).map((wire) =>
      isEmbedded ? { ...wire, setting: withoutFlags(wire.setting) } : wire,
    )
    this.#onRefused = refusalLog(log, () => clock.monotonic())
    this.#apps = parts.apps
    this.#api = parts.api
    this.#outbound = parts.outbound
    this.#sweep = parts.sweep
    this.#config = config
    this.#log = log
    this.#clock = clock
    this.#files = parts.files
    this.#gateways = parts.gateways
    this.#p2p = parts.p2p
    this.#onError = parts.onError
    this.#links = parts.links
  }

  /** The `host:port` that this node announces for links. Null if it is not known yet, or if there are no links. */
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
   * Connects to the store and lets peers in. It waits for an absent Redis. Rejects if a retry cannot help, for example
   * because Redis is too old. The node starts only once, however often this is called.
   */
  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  /**
   * Resolves when the node is ready. Rejects as `start` does, if a server that the node is attached to cannot listen, and
   * if the node begins to stop or to drain before it is ready, or has already done so.
   */
  async ready(): Promise<void> {
    this.#mustNotHaveEnded()
    await this.start()
    for (;;) {
      if (this.#hasEnded) throw new Error('this node was stopped before it was ready')
      if (this.readiness().ready) return
      const failure = this.#ports.failure
      if (failure !== undefined) throw new Error(failure)
      await new Promise<void>((resolve) => void this.#clock.after(READY_POLL_MS, resolve))
    }
  }

  /**
   * Attaches the node to an application's HTTP server. The P2P server uses the port after that of the HTTP server.
   * @throws Error after `stop` or `drain`, or if a node uses the same path of this server already
   */
  attach(server: AnyServer): void {
    this.#mustNotHaveEnded()
    this.#closers.push(this.#takeFrom(server), this.#ports.watch(server))
    if (this.#config.p2p.useAsP2PServer) this.#p2p.follow(server)
    this.start().catch((error: unknown) => this.#onError(error, { stage: 'start' }))
  }

  /** Listens on the configured port, with the node's own HTTP routes. Rejects with PortUnavailable, and after `stop`. */
  async listen(): Promise<Listening> {
    this.#mustNotHaveEnded()
    try {
      return await this.#listen()
    } catch (error) {
      throw this.#worded(error)
    }
  }

  async #listen(): Promise<Listening> {
    const { host, path, p2p, tls } = this.#config
    const onError = this.#onError
    const server = createOwnServer(this.#config, {
      readiness: () => this.readiness(),
      files: this.#files,
      onError,
    })
    const at = { host, port: this.#config.port, setting: 'port (--port)' }
    const { port, udp } = await listenPair(server, at, p2p.useAsP2PServer)
    // For example: too many open files.
    server.on('error', (error) => onError(error, { stage: 'port' }))
    if (udp.length > 0) await this.#p2p.start(udp, port + 1)
    await this.#closeAtEnd(server)
    this.#closers.push(this.#takeFrom(server))
    const url = `${tls.cert === null ? 'http' : 'https'}://${localHost(host)}:${port}${path === '/' ? '' : asBase(path)}`
    const api = await this.#listenApi()
    return {
      url,
      port,
      p2p: udp.length > 0 ? { port: port + 1 } : null,
      api: this.#apps.apiKeys().size === 0 ? null : (api ?? url),
      admin: await this.#listenAdmin(),
    }
  }

  /**
   * Drains the node. From now on it is not ready, and answers every claim with `draining`, even claims that are already
   * waiting. It tells its peers to move, and then stops. All this ends within `times.drainMs`.
   */
  async drain(): Promise<void> {
    this.#log.info('draining')
    this.node.beginDrain()
    await drainInOrder(this.#gateways, this.#config.times.drainMs * MOVING_SHARE, this.#onError)
    await this.stop()
  }

  /** Reads renewed TLS files at once, if there are any. Without this call, the node reads them within seconds. */
  readTlsAgain(): void {
    if (this.#files.none) return
    this.#log.info('reading the TLS files again')
    this.#files.readAgain()
  }

  /** Ends everything that was started: sockets, timers, ports, and the connections of the store. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  get #hasEnded(): boolean {
    return this.node.draining || this.#stopping !== undefined
  }

  /** The error in words for its reader: an application has no flags. */
  #worded(error: unknown): unknown {
    if (!this.#isEmbedded || !(error instanceof PortUnavailable)) return error
    return new PortUnavailable(withoutFlags(error.message), error)
  }

  // Nothing would end what a stopped node starts.
  #mustNotHaveEnded(): void {
    if (this.#hasEnded) throw new Error('this node has been stopped and cannot start again: create a new one')
  }

  async #start(): Promise<void> {
    this.#files.start()
    for (const gateway of this.#gateways) await gateway.start()
    try {
      await this.node.start()
    } catch (error) {
      throw this.#worded(startFailure(error, this.#config))
    }
    if (this.#links !== undefined) void this.#checkAddress()
  }

  /**
   * Warns if other nodes cannot use the announced address. The address is known once the node is ready. `ready` reports
   * why it is not.
   */
  async #checkAddress(): Promise<void> {
    await this.ready().catch(() => {})
    const warning = addressWarning(this.#config, this.linksAddress)
    if (warning !== undefined) this.#log.warn({ stage: 'link', links: this.linksAddress }, warning)
  }

  /** Opens the port of the API, if one is configured. */
  async #listenApi(): Promise<string | null> {
    const { api, host, tls } = this.#config
    if (api.port === null) return null
    const at = { host: api.host ?? host, port: api.port }
    const { server, port } = await listenApi(at, {
      config: this.#config,
      files: this.#files,
      answer: (request, response) => this.#api.http.answer(request, response),
      onError: this.#onError,
    })
    await this.#closeAtEnd(server)
    return `${tls.cert === null ? 'http' : 'https'}://${localHost(at.host)}:${port}`
  }

  /** Opens the admin port, if one is configured. */
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

  /** Closes a server when the node stops. If the node stopped while the server began to listen, closes it and rejects. */
  async #closeAtEnd(server: AnyServer): Promise<void> {
    const close = (): Promise<void> => closeServer(server)
    if (!this.#hasEnded) return void this.#closers.push(close)
    await inTurn([close], this.#notStopped)
    this.#mustNotHaveEnded()
  }

  #takeFrom(server: AnyServer): () => void {
    return attachTo(server, {
      gateways: this.#gateways,
      api: this.#config.api.port === null ? this.#api.http : undefined,
      owner: this.#owner,
      clock: this.#clock,
      metrics: this.metrics,
      unserved: (path) => this.#unserved(path),
    })
  }

  #unserved(path: string): Unserved {
    const endpoints = this.#gateways.map(({ endpoint }) => endpoint.path)
    const unserved = unservedAt(path, endpoints, this.#urlWires)
    const { wire, refusal } = unserved
    if (wire !== 'none') this.#onRefused({ wire, code: refusal.reason, detail: refusal.detail })
    return unserved
  }

  // The node stops first and ends the sessions. The gateways then end the remaining sockets. A step that fails is
  // reported, and the other steps run all the same.
  async #stop(): Promise<void> {
    const steps = [
      () => this.#api.stop(),
      () => this.node.stop(),
      () => this.#each((gateway) => gateway.stop()),
    ]
    await inTurn(steps, this.#notStopped)
    const closers = this.#closers.splice(0).reverse()
    const parts = [this.reloads, this.#sweep, this.#p2p, this.#apps, this.#outbound, this.#files]
    await inTurn([...closers, ...parts.map((part) => () => part.stop())], this.#notStopped)
  }

  readonly #notStopped = (error: unknown): void => this.#onError(error, { stage: 'stop' })

  async #each(act: (gateway: HttpGateway) => Promise<void> | void): Promise<void> {
    const step = async (gateway: HttpGateway): Promise<void> => inTurn([() => act(gateway)], this.#notStopped)
    await Promise.all(this.#gateways.map(step))
  }
}
