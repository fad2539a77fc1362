import type { Backend, Clock, OnError, Times } from '@peerage/core'

/** Why a link ended. */
export type DownReason = 'unconfirmed' | 'full' | 'ended' | 'replaced' | 'identity' | 'closed'

export interface LinksOptions {
  /** Where this node listens for links. */
  host: string
  /** 0: any free port. */
  port: number
  /** Where other nodes reach it, where that is not the address that it listens on. */
  advertise: { host: string; port: number } | null
  /** How many links it keeps at once. */
  most: number
  /** Without TLS, for networks that are private already. */
  plain: boolean
  times: Times
  clock: Clock
  /** The address of this machine as the store sees it. */
  localAddress: () => string | undefined
  onError: OnError
  onEvent: (event: string, details: Record<string, unknown>) => void
}

/** For metrics. All but `up` are counted since the start. */
export interface LinkCounts {
  /** Links that stand now. */
  up: number
  /** Envelopes to other nodes, by the path that they were given to. */
  envelopes: { link: number; inbox: number }
  /** Envelopes that arrived a second time, and were dropped. */
  repeated: number
  ups: number
  downs: Record<DownReason, number>
  /** Links that could not be made. */
  failures: number
}

/** A backend whose bus takes the direct way where there is one. */
export interface LinkedBackend extends Backend {
  readonly links: LinkCounts & {
    /** host:port that the other nodes are told; undefined: none yet. */
    readonly address: string | undefined
  }
}

export function withLinks(backend: Backend, _options: LinksOptions): LinkedBackend {
  return {
    ...backend,
    links: {
      up: 0,
      envelopes: { link: 0, inbox: 0 },
      repeated: 0,
      ups: 0,
      downs: { unconfirmed: 0, full: 0, ended: 0, replaced: 0, identity: 0, closed: 0 },
      failures: 0,
      address: undefined,
    },
  }
}
