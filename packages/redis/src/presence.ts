import type { Peer } from '@peerage/protocol'
import type { OnError, Presence, PresenceChange } from '@peerage/core'
import type { Keys } from './keys.js'
import type { Listening } from './connections/subscriptions.js'

export interface RedisPresenceParts {
  subscriptions: Listening
  keys: Keys
  onError: OnError
}

/** Changes of names: the registry's scripts announce them on a channel of each name. */
export class RedisPresence implements Presence {
  readonly #parts: RedisPresenceParts
  #listener: ((change: PresenceChange) => void) | undefined

  constructor(parts: RedisPresenceParts) {
    this.#parts = parts
  }

  watch(peer: Peer): Promise<void> {
    const { subscriptions, keys } = this.#parts
    return subscriptions.want(keys.presence(peer), (payload) => this.#hear(peer, payload), 'peer')
  }

  unwatch(peer: Peer): void {
    this.#parts.subscriptions.drop(this.#parts.keys.presence(peer))
  }

  onChange(listener: (change: PresenceChange) => void): void {
    this.#listener = listener
  }

  #hear(peer: Peer, payload: string): void {
    const change = readChange(peer, payload)
    try {
      if (change) this.#listener?.(change)
      else throw new Error('not a change of presence')
    } catch (error) {
      this.#parts.onError(error, { stage: 'presence' })
    }
  }
}

const STATES = new Map<string | undefined, PresenceChange['state']>([
  ['o', 'online'],
  ['a', 'away'],
  ['f', 'offline'],
])

/** `o|a|f since`, as the scripts write it; a later version may add words [F25]. */
export function readChange(peer: Peer, payload: string): PresenceChange | undefined {
  const words = /^([oaf]) (\d{1,16})(?: .*)?$/u.exec(payload)
  const state = STATES.get(words?.[1])
  const since = Number(words?.[2])
  return state && Number.isSafeInteger(since) ? { peer, state, since } : undefined
}
