import { createHash } from 'node:crypto'
import type { Clock } from '@peerage/core'
import type { App } from '@peerage/protocol'
import { isLoopback } from '../gateway/shared/address.js'
import { KeyedBuckets } from '../lib/token-bucket.js'
import type { Problem } from './problems.js'

/** The keys of each app that has the API. */
export interface KeyedApps {
  apiKeys(): ReadonlyMap<App, readonly string[]>
  /** Calls the listener after each change. Returns a function that ends this. */
  onReplaced(listener: () => void): () => void
}

/** The longest key that is hashed. The configured ones are shorter, because they come in one header. */
const KEY_MOST = 1_024

/** Finds the app of an API key. Keys are compared by their hash, so the time says nothing about them. */
export class ApiKeys {
  readonly #apps: KeyedApps
  readonly #wrong: KeyedBuckets
  #byHash: ReadonlyMap<string, App>
  readonly #stop: () => void

  /** `failuresPerMinute`: wrong keys a minute of one address. 0: no limit. */
  constructor(apps: KeyedApps, failuresPerMinute: number, clock: Clock) {
    this.#apps = apps
    this.#wrong = KeyedBuckets.perMinute(failuresPerMinute, clock)
    this.#byHash = this.#read()
    this.#stop = apps.onReplaced(() => {
      this.#byHash = this.#read()
    })
  }

  /** Whether there is any key. Without keys there is no API. */
  get isEmpty(): boolean {
    return this.#byHash.size === 0
  }

  /** The apps that have the API. */
  get apps(): ReadonlySet<App> {
    return new Set(this.#byHash.values())
  }

  /**
   * The app whose key the header `Authorization` presents. After too many wrong keys from an address, a right key gets the
   * same answer as a wrong one. Loopback is exempt, because all requests have this address behind a proxy on this machine.
   */
  appOf(header: string | undefined, address: string): App | Problem {
    const isExempt = isLoopback(address)
    const waitMs = isExempt ? 0 : this.#wrong.waitMs(address)
    if (waitMs > 0)
      return {
        code: 'rate-limited',
        detail: 'too many wrong keys came from this address; wait before you try again',
        retryAfterMs: waitMs,
      }
    if (header === undefined)
      return {
        code: 'unauthorized',
        detail: 'send the header Authorization: Bearer KEY, with a key of api.keys',
      }
    const key = /^bearer +(\S+) *$/i.exec(header)?.[1]
    const app = key === undefined || key.length > KEY_MOST ? undefined : this.#byHash.get(hashOf(key))
    if (app !== undefined) return app
    if (!isExempt) this.#wrong.take(address)
    return key === undefined
      ? { code: 'unauthorized', detail: 'the header Authorization must be: Bearer KEY' }
      : { code: 'unauthorized', detail: 'no app of this node has this key in api.keys' }
  }

  stop(): void {
    this.#stop()
  }

  #read(): Map<string, App> {
    const byHash = new Map<string, App>()
    for (const [app, keys] of this.#apps.apiKeys()) for (const key of keys) byHash.set(hashOf(key), app)
    return byHash
  }
}

function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('base64')
}
