import type { Readiness } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { checkConfig } from './config/check.js'
import {
  checkHooks,
  checkServer,
  describeProblems,
  validated,
  type PeerageOptions,
} from './config/options.js'
import type { ConfigInput } from './config/schema.js'
import type { AnyServer } from './http/listen.js'
import { createLogger, standardOutput } from './metrics/log.js'
import { PeerageServer, type Listening } from './server.js'

export type { PeerageOptions } from './config/options.js'

/** A node inside an application. */
export interface Peerage {
  /** Which process of the cluster this is; a new one after a lapse. */
  readonly id: NodeId
  /**
   * Takes Peerage's upgrades and requests from an HTTP or HTTPS server, whatever else lives on it, and starts.
   * What fails in the background is logged; `ready` rejects with it. May be called for several servers.
   * @throws TypeError for what is no HTTP server, such as an Express app; Error after `stop` or `drain`, and where this
   * node, or another one with the same `path`, is attached to this server already
   */
  attach(server: AnyServer): Peerage
  /** A server of its own, as `peerage serve` has it. Rejects with PortUnavailable. */
  listen(): Promise<Listening>
  /**
   * Resolves when the node takes peers. Rejects for what no retry can mend: Redis is too old, or the server that it is
   * attached to cannot listen.
   */
  ready(): Promise<void>
  readiness(): Readiness
  /** In the Prometheus text format. */
  metrics(): Promise<string>
  /** Tells the peers to move to other nodes, then stops, within `times.drainMs`. */
  drain(): Promise<void>
  /** Ends everything that was started; the application's own HTTP server goes on. */
  stop(): Promise<void>
}

/**
 * A node to embed in an application's HTTP server. Throws TypeError that names every problem of the options.
 * Nothing starts before `attach` or `listen`.
 */
export function createPeerage(options: PeerageOptions = {}): Peerage {
  checkHooks(options)
  const { useAsP2PServer, accessRules, logger, clock, backend, generateId, onPeer, ...input } = options
  const config = validated({ ...input, p2p: withP2PServer(input.p2p, useAsP2PServer) }, backend !== undefined)
  const self: { node?: { readonly id: NodeId } } = {}
  // As `serve` has it: each line says which node it is of.
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
    ...(generateId === undefined ? {} : { generateId }),
    ...(onPeer === undefined ? {} : { onPeer }),
  })
  self.node = server.node
  const peerage: Peerage = {
    get id() {
      return server.node.id
    },
    attach(httpServer) {
      checkServer(httpServer)
      server.attach(httpServer)
      return peerage
    },
    async listen() {
      const reach = checkConfig(config).filter(({ path }) => path === 'host')
      if (accessRules === undefined && reach.length > 0) throw new TypeError(describeProblems(reach))
      const listening = await server.listen()
      server.start().catch((error: unknown) => log.error({ error: String(error) }, 'failed'))
      return listening
    },
    ready: () => server.ready(),
    readiness: () => server.readiness(),
    metrics: () => server.metrics.registry.metrics(),
    drain: () => server.drain(),
    stop: () => server.stop(),
  }
  return peerage
}

/** `serve` answers STUN unless told not to. An application that opens one port should not find two open. */
function withP2PServer(p2p: ConfigInput['p2p'], isAskedFor: boolean | undefined): ConfigInput['p2p'] {
  // What is no section is refused with its name.
  if (p2p !== undefined && (typeof p2p !== 'object' || Array.isArray(p2p))) return p2p
  return { ...p2p, useAsP2PServer: isAskedFor ?? p2p?.useAsP2PServer ?? false }
}
