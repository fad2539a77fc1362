import type { Name, PresenceState } from '@peerage/protocol'
import { limits } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'
import type { Answer, Requests } from './requests.js'
import { mayBeAskedAgain } from './requests.js'
import { Retry } from '../lib/retry.js'

/** The presence of a name at one moment. */
export interface Presence {
  /** The name. */
  name: Name
  /**
   * `online`: its peer is connected. `away`: its peer lost its connection, and may come back. `offline`: nobody holds
   * the name.
   */
  state: PresenceState
  /**
   * When the holder claimed the name, in milliseconds of Redis time. Another value means another holder. Absent if
   * offline.
   */
  since?: number
}

/**
 * The watched names with their last known presence. After each welcome all names are watched again, which updates them.
 */
export class Watches {
  readonly #watched = new Map<Name, { count: number; last?: Presence }>()
  readonly #requests: Requests
  readonly #send: (frame: { type: 'unwatch'; names: Name[] }) => boolean
  readonly #onHeard: (presence: Presence, news: boolean) => void
  /** Repeats a watch that a node could not answer after its welcome. */
  readonly #retry: Retry

  constructor(
    clock: Clock,
    requests: Requests,
    send: (frame: { type: 'unwatch'; names: Name[] }) => boolean,
    onHeard: (presence: Presence, news: boolean) => void,
  ) {
    this.#requests = requests
    this.#send = send
    this.#onHeard = onHeard
    this.#retry = new Retry(clock, () => this.#askAll())
  }

  /** Each `watch` needs one `unwatch`, even if the node refused it, because it is repeated after the next welcome. */
  watch(name: Name, signal?: AbortSignal): Promise<Answer> {
    const watched = this.#watched.get(name) ?? { count: 0 }
    watched.count++
    this.#watched.set(name, watched)
    return this.#ask([name], signal)
  }

  unwatch(name: Name): void {
    const watched = this.#watched.get(name)
    if (watched === undefined || --watched.count > 0) return
    this.#watched.delete(name)
    this.#send({ type: 'unwatch', names: [name] })
  }

  /** The current presence of a name, watched or not. Undefined if there is no answer. `forbidden`: see WR13. */
  async lookup(name: Name): Promise<Presence | 'forbidden' | undefined> {
    const answer = await this.#requests.ask((id) => ({ type: 'lookup', id, names: [name] }))
    if (!answer.ok) return answer.code === 'forbidden' ? answer.code : undefined
    return answer.message.type === 'found' ? answer.message.peers[0] : undefined
  }

  online(): void {
    this.#retry.stop()
    this.#askAll()
  }

  close(): void {
    this.#retry.stop()
  }

  #askAll(): void {
    const names = [...this.#watched.keys()]
    for (let i = 0; i < names.length; i += limits.namesPerLookup)
      void this.#askAgain(names.slice(i, i + limits.namesPerLookup))
  }

  async #askAgain(names: Name[]): Promise<void> {
    const answer = await this.#ask(names)
    if (answer.ok || answer.code === 'aborted') return
    if (mayBeAskedAgain(answer.code)) this.#retry.failed()
    // One name that a new token does not allow refuses all that were asked with it [WR13].
    if (answer.code !== 'forbidden' || names.length === 1) return
    const half = Math.ceil(names.length / 2)
    await Promise.all([this.#askAgain(names.slice(0, half)), this.#askAgain(names.slice(half))])
  }

  heard(presence: Presence): void {
    const watched = this.#watched.get(presence.name)
    if (watched === undefined) return
    const { last } = watched
    watched.last = presence
    // The first answer is the result of the watch itself. Only a change after it is an event.
    const same = last === undefined || (last.state === presence.state && last.since === presence.since)
    this.#onHeard(presence, !same)
  }

  #ask(names: Name[], signal?: AbortSignal): Promise<Answer> {
    return this.#requests.ask(
      (id) => ({ type: 'watch', id, names }),
      signal,
      (message) => {
        if (message.type === 'found') for (const one of message.peers) this.heard(one)
      },
    )
  }
}
