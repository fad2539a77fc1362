import type { Backend, Clock, Envelope, OnError } from '@peerage/core'
import { inTurn } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { formatHostPort } from '@peerage/protocol'
import { encodeAnnouncement } from './announcement.js'
import { Endpoint } from './endpoint.js'
import type { Identity } from './identity.js'
import { makeIdentity } from './identity.js'
import { defaultUnconfirmedLimits } from './link.js'
import type { LinkCounts } from './linked-bus.js'
import { LinkedBus } from './linked-bus.js'

export interface LinksOptions {
  /** Where this node listens for links. */
  host: string
  /** 0: any free port. */
  port: number
  /** Where other nodes reach this node, if that is not the address on which it listens. */
  advertise: { host: string; port: number } | null
  /** How many links this node keeps at a time. */
  most: number
  /** Links without TLS, for networks that are private already. */
  plain: boolean
  clock: Clock
  /** The address of this machine as the store sees it. */
  localAddress: () => string | undefined
  /** Called with an envelope that was reported as `sent`, has not arrived, and cannot be sent again. */
  undelivered: (envelope: Envelope) => void
  onError: OnError
  onEvent: (event: string, details: Record<string, unknown>) => void
}

/** The counts of a node's links since the start, and the node's address for links. */
export interface LinkState extends LinkCounts {
  /** The announced host:port. Undefined if nothing is announced yet. */
  address: string | undefined
  /** How many incoming connections were closed without a proof. */
  refused: number
}

/** A backend whose bus uses links where there are any. */
export interface LinkedBackend extends Backend {
  /** The present state of the links. */
  readonly links: LinkState
  /** How many payloads and records were not envelopes, on both paths, since the start. */
  readonly malformed: number
}

/** Addresses to listen on to which nobody can connect. */
const EVERY_ADDRESS = new Set(['0.0.0.0', '::'])

/**
 * Adds links to the other nodes of the cluster to a backend: a faster path beside its bus. Where there is no link,
 * envelopes go over the bus as before.
 *
 * @example
 * const backend = withLinks(createRedisBackend({ … }), { host: '0.0.0.0', port: 9200, … })
 */
export function withLinks(backend: Backend, options: LinksOptions): LinkedBackend {
  const { nodes } = backend
  const { host, clock, undelivered, onError, onEvent } = options
  let bound: number | undefined
  let address: string | undefined

  const endpoint = new Endpoint({
    host,
    port: options.port,
    nodes,
    clock,
    wants: (node) => bus.wants(node),
    accepted: (proven) => bus.adopt(proven),
    onError,
  })

  const announce = (identity: Identity): void => {
    const reached = options.advertise ?? ownAddress(options, bound)
    if (reached === undefined) {
      onError(new Error('no address to announce to the other nodes: set links.advertise'), { stage: 'link' })
      return
    }
    address = formatHostPort(reached)
    // If the store cannot be reached now, the next beat announces.
    const failed = (error: unknown): void => onError(error, { stage: 'announce' })
    nodes.announce(encodeAnnouncement({ address: reached, proof: identity.proof })).catch(failed)
  }

  const bus = new LinkedBus({
    inbox: backend.bus,
    dial: (node) => endpoint.dial(node),
    identify: (node: NodeId) => {
      const identity = makeIdentity(node, options.plain)
      endpoint.identify(identity)
      announce(identity)
    },
    status: (node) => nodes.status(node),
    clock,
    most: options.most,
    limits: defaultUnconfirmedLimits,
    undelivered,
    onError,
    onEvent,
  })

  return {
    ...backend,
    bus,
    identify: (node) => backend.identify(node),
    start: async (listener) => {
      bound ??= await endpoint.listen()
      await backend.start(listener)
    },
    stop: () =>
      inTurn([() => bus.close(), () => endpoint.close(), () => backend.stop()], (error) =>
        onError(error, { stage: 'stop' }),
      ),
    get links() {
      return { ...bus.counts, address, refused: endpoint.refused }
    },
    get malformed() {
      return bus.counts.malformed + ('malformed' in backend ? Number(backend.malformed) : 0)
    },
  }
}

/** The address at which other nodes can reach this one. Undefined if it is not known, or the port is not bound. */
function ownAddress(
  { host, localAddress }: LinksOptions,
  port: number | undefined,
): { host: string; port: number } | undefined {
  const own = EVERY_ADDRESS.has(host) ? localAddress() : host
  return own === undefined || port === undefined ? undefined : { host: own, port }
}
