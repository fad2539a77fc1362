import type { Readiness } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { checkReach } from './config/check-apps.js'
import {
  checkOptions,
  checkServer,
  describeProblems,
  unusedByAttach,
  type PeerageOptions,
} from './config/options.js'
import type { Config, ConfigInput } from './config/schema.js'
import type { AnyServer } from './http/listen.js'
import { reasonOf } from './lib/reason.js'
import { createLogger, standardOutput } from './metrics/log.js'
import { PeerageServer, type Listening } from './server.js'

export type { PeerageOptions } from './config/options.js'

/** A node in an application, made by `createPeerage`. */
export interface Peerage {
  /**
   * The id of this node in the cluster, as in its log lines. After its lease has lapsed, a node continues with a new id,
   * so do not store the id.
   */
  readonly id: NodeId
  /**
   * Attaches the node to an HTTP or HTTPS server of the application, and starts the node. From then on, the node handles
   * the upgrades and requests at its own paths (`{path}peerage/`, and those of PeerJS). The application handles all
   * others. Other WebSocket servers and socket.io may share the server. The server may listen before or after this call,
   * and a node may be attached to several servers.
   *
   * If something fails in the background, for example because Redis cannot be reached, the node logs it and tries again.
   * `ready` rejects if trying again cannot help.
   *
   * The settings `host`, `port`, `tls`, `page`, `admin` and `api.port` are for `listen`. If one of them is set, the log says so.
   *
   * @param server what `createServer()` of `node:http` or `node:https` returns, or `app.listen()` of Express
   * @returns this node
   * @throws TypeError if `server` is not an HTTP server, for example an Express app
   * @throws Error after `stop` or `drain`
   * @throws Error if this node, or another node with the same `path`, is attached to this server already
   * @example
   * ```js
   * import { createServer } from 'node:http'
   * import express from 'express'
   * import { createPeerage } from '@peerage/server'
   *
   * const app = express()
   * const server = createServer(app)
   * createPeerage().attach(server)
   * server.listen(3000)
   * ```
   */
  attach(server: AnyServer): Peerage
  /**
   * Opens an HTTP server of the node's own at the host and port of the settings, and starts the node, as `peerage serve`
   * does. This server also has the probes (`/healthz`, `/readyz`), `/version` and the page for browsers.
   *
   * Resolves when the ports are open. Await `ready` to know that the node takes peers.
   *
   * Rejects with `PortUnavailable` if a port cannot be opened. Rejects with TypeError if `host` is beyond loopback and
   * there is no rule: neither `accessRules`, nor `access.key`, nor `origins`, nor `open: true`. Rejects with Error after
   * `stop` or `drain`.
   *
   * @example
   * ```js
   * const peerage = createPeerage({ port: 0, open: true })
   * const { url } = await peerage.listen()
   * console.log(`open ${url}`)
   * ```
   */
  listen(): Promise<Listening>
  /**
   * Takes settings anew without dropping a connection: which apps there are, who may come in, keys, limits and TURN. Each
   * key that you pass replaces the one that the node has, as a whole, and the others stay. New connections get the new
   * rules at once. Peers of an app that is no longer served are closed within seconds. A setting that needs a restart, such
   * as `port`, is named in the log and changes nothing.
   *
   * @throws TypeError that names every wrong setting. The former settings then stay.
   * @example
   * ```js
   * const peerage = createPeerage({ defaultApp: 'chat', apps: { chat: {} } })
   * peerage.reload({ apps: { chat: {}, games: { origins: ['https://games.example'] } } })
   * ```
   */
  reload(settings: ConfigInput): void
  /**
   * Resolves when the node takes peers. While Redis cannot be reached, it keeps waiting. Rejects if waiting cannot help,
   * because Redis is too old, because a server that the node is attached to cannot listen, or because the node stops or
   * drains, or has done so. If nothing has started the node yet, this call starts it.
   */
  ready(): Promise<void>
  /**
   * Whether the node takes peers now, for the health check of an application. It is either `{ ready: true }` or
   * `{ ready: false, reason, why }`. `reason` is one of `starting`, `draining`, `store` (Redis), `fenced`, `listening`,
   * `settling` and `port`. `why` is a text for operators only, because it may contain addresses.
   */
  readiness(): Readiness
  /** The metrics of this node and of its process, in the Prometheus text format. */
  metrics(): Promise<string>
  /**
   * Takes no more peers, tells the connected peers to move to other nodes, and then stops. This takes at most
   * `times.drainMs`. Call it on SIGTERM if the cluster has other nodes.
   */
  drain(): Promise<void>
  /**
   * Ends everything that the node has started: sessions, sockets, timers, its own ports and its connections to Redis.
   * If the cluster has other nodes, the names of the peers stay reserved for `times.graceMs`. The HTTP server of the
   * application continues. A stopped node cannot start again, so create a new one. You may call it several times.
   */
  stop(): Promise<void>
}

/**
 * Creates a node for an application. Nothing starts before `attach`, `listen` or `ready`.
 *
 * @param options the settings of the node, and the application's own functions
 * @throws TypeError that names every wrong option, and suggests the option that you probably meant
 * @example
 * ```js
 * // A node in an application's server. Only known users may come in, each under their own name.
 * import { createServer } from 'node:http'
 * import { createPeerage } from '@peerage/server'
 *
 * const names = new Map([['token-of-alice', 'alice']])
 * const server = createServer((request, response) => response.end('the application'))
 * const peerage = createPeerage({
 *   accessRules: {
 *     async admit({ token = '', name, app = 'default' }) {
 *       const known = names.get(token)
 *       if (known === undefined) return { ok: false, code: 'forbidden', detail: 'sign in first' }
 *       if (known !== name) return { ok: false, code: 'forbidden', detail: 'this name is not yours' }
 *       return { ok: true, app, identity: known }
 *     },
 *   },
 * }).attach(server)
 *
 * server.listen(3000)
 * await peerage.ready()
 * process.on('SIGTERM', () => peerage.drain().then(() => server.close()))
 * ```
 */
export function createPeerage(options: PeerageOptions = {}): Peerage {
  const config = checkOptions(options)
  const { accessRules, logger, clock, backend, generateId, onPeer } = options
  const self: { node?: { readonly id: NodeId } } = {}
  // Each line has the id of its node, as with `peerage serve`.
  const log =
    logger ??
    createLogger(config.log.level, standardOutput(config.log.format), () =>
      self.node === undefined ? {} : { node: self.node.id },
    )
  const server = new PeerageServer({
    config,
    log,
    access: accessRules,
    clock,
    backend,
    isEmbedded: true,
    ...(generateId === undefined ? {} : { generateId }),
    ...(onPeer === undefined ? {} : { onPeer }),
  })
  self.node = server.node
  let given = options
  let isListening = false
  const mustBeRuled = (of: Config): void => {
    const reach = accessRules === undefined ? checkReach(of) : []
    if (reach.length > 0)
      throw new TypeError(
        describeProblems(reach).replace('set access.key or', 'set accessRules, access.key or'),
      )
  }
  // Of these settings `attach` warns once, unless `listen` has used them.
  let unused = unusedByAttach(options)
  const peerage: Peerage = {
    get id() {
      return server.node.id
    },
    attach(httpServer) {
      checkServer(httpServer)
      server.attach(httpServer)
      if (unused.length > 0)
        log.warn({ settings: unused }, 'attach does not use these settings: they are for listen')
      unused = []
      return peerage
    },
    async listen() {
      mustBeRuled(config)
      const listening = await server.listen()
      isListening = true
      unused = []
      server.start().catch((error: unknown) => log.error({ error: String(error) }, 'failed'))
      return listening
    },
    reload(settings) {
      const next = { ...given, ...settings }
      try {
        const checked = checkOptions(next)
        if (isListening) mustBeRuled(checked)
        server.reloads.take(checked)
      } catch (error) {
        server.reloads.failed([reasonOf(error)])
        throw error
      }
      given = next
    },
    ready: () => server.ready(),
    readiness: () => server.readiness(),
    metrics: () => server.metrics.registry.metrics(),
    drain: () => server.drain(),
    stop: () => server.stop(),
  }
  return peerage
}
