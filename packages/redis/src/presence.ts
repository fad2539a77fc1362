import type { Peer } from '@peerage/protocol'
import type { OnError, Presence, PresenceChange } from '@peerage/core'
import type { Keys } from './keys.js'
import type { Subscriptions } from './connections/subscriptions.js'

export interface RedisPresenceOptions {
  subscriptions: Subscriptions
  keys: Keys
  onError: OnError
}

/** Changes of names. The registry's scripts publish them on one channel for each name. */
export class RedisPresence implements Presence {
  readonly #options: RedisPresenceOptions
  #listener: ((change: PresenceChange) => void) | undefined

  constructor(options: RedisPresenceOptions) {
    this.#options = options
  }

  watch(peer: Peer): Promise<void> {
    const { subscriptions, keys } = this.#options
    return subscriptions.want(keys.presence(peer), (payload) => this.#hear(peer, payload), 'peer')
  }

  unwatch(peer: Peer): void {
    this.#options.subscriptions.drop(this.#options.keys.presence(peer))
  }

  onChange(listener: (change: PresenceChange) => void): void {
    this.#listener = listener
  }

  #hear(peer: Peer, payload: string): void {
    const change = readChange(peer, payload)
    try {
      if (change) this.#listener?.(change)
      else throw new Error('a payload on a presence channel cannot be parsed')
    } catch (error) {
      this.#options.onError(error, { stage: 'presence' })
    }
  }
}

const STATES = new Map<string | undefined, PresenceChange['state']>([
  ['o', 'online'],
  ['a', 'away'],
  ['f', 'offline'],
])

/** Reads `o|a|f since`, as the scripts write it. A later version may add words [F25]. */
export function readChange(peer: Peer, payload: string): PresenceChange | undefined {
  const words = /^([oaf]) (\d{1,16})(?: .*)?$/u.exec(payload)
  const state = STATES.get(words?.[1])
  const since = Number(words?.[2])
  return state && Number.isSafeInteger(since) ? { peer, state, since } : undefined
}
