import type { Answers, Clock, Nodes, OnError, Records } from '@peerage/core'
import type { Addresses } from '../gateway/shared/address.js'
import type { GatewayMetrics } from '../gateway/shared/events.js'
import type { Mint } from './dependencies.js'
import type { App } from '@peerage/protocol'
import { createRoutes } from './handlers.js'
import { HttpApi } from './http-api.js'
import { ApiKeys, type KeyedApps } from './keys.js'
import type { ApiNode } from './node.js'
import { Once } from './once.js'
import { openApi } from './openapi.js'
import { ServerPeers } from './server-peers.js'

export interface ApiOptions {
  /** The path of the node, with slashes at both ends. The API is at `v1/` below it. */
  base: string
  version: string
  apps: KeyedApps
  node: ApiNode
  nodes: Pick<Nodes, 'list'>
  records: Records
  answers: Answers
  addresses: Addresses
  mint: Mint
  tokenMs: (app: App) => number
  graceMs: number
  /** Wrong keys a minute of one address. 0: no limit. */
  failuresPerMinute: number
  metrics: Pick<GatewayMetrics, 'routed'> & { apiAnswered(operation: string, status: number): void }
  /** See `Once`. */
  keptBytesMost?: number | undefined
  clock: Clock
  onError: OnError
}

export interface Api {
  http: HttpApi
  /** Gives up the names of the node's own peers. Requests that come later are refused. */
  stop(): Promise<void>
}

/** The path of the API below the path of the node. */
const API = 'v1/'

/** Creates the API of a node. It starts nothing before the first message. */
export function createApi(options: ApiOptions): Api {
  const {
    base: root,
    version,
    apps,
    answers,
    addresses,
    failuresPerMinute,
    clock,
    metrics,
    onError,
    keptBytesMost,
  } = options
  const base = root + API
  const peers = new ServerPeers(options)
  const keys = new ApiKeys(apps, failuresPerMinute, clock)
  const forget = apps.onReplaced(() => void peers.keepOnly(keys.apps))
  const http = new HttpApi({
    base,
    keys,
    routes: createRoutes({ ...options, peers }),
    document: JSON.stringify(openApi(base.slice(0, -1), version)),
    once: new Once({ answers, clock, onError, keptBytesMost }),
    addresses,
    clock,
    onAnswer: (operation, status) => metrics.apiAnswered(operation, status),
    onError,
  })
  return {
    http,
    stop: async () => {
      forget()
      keys.stop()
      await peers.stop()
    },
  }
}
