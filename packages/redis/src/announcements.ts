import type { NodeId } from '@peerage/protocol'
import type { OnError, Times } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import type { Keys } from './keys.js'

export interface AnnouncementsOptions {
  commands: Commands
  keys: Keys
  times: Times
  onError: OnError
}

/** What nodes announce: one key for each. It is not in the beat's script, for on a Cluster its slot is another. */
export class Announcements {
  readonly #options: AnnouncementsOptions
  /** What this node announces. */
  #own: string | undefined

  constructor(options: AnnouncementsOptions) {
    this.#options = options
  }

  async announce(self: NodeId, text: string): Promise<void> {
    this.#own = text
    await this.#write(self, text)
  }

  async read(node: NodeId): Promise<string | undefined> {
    const { commands, keys } = this.#options
    return (await commands.run((client) => client.get(keys.node(node)))) ?? undefined
  }

  /** Writes the text again. Nobody waits for it: what fails is told, and the next beat does it. */
  renew(self: NodeId): void {
    if (this.#own !== undefined) this.#write(self, this.#own).catch(this.#failed)
  }

  /** Another identity. What the former one announced ends by itself. */
  forget(): void {
    this.#own = undefined
  }

  /** Never rejects: what is not removed ends by itself. */
  async remove(self: NodeId): Promise<void> {
    const { commands, keys } = this.#options
    if (this.#own === undefined) return
    this.#own = undefined
    await commands.run((client) => client.del(keys.node(self))).catch(this.#failed)
  }

  async #write(self: NodeId, text: string): Promise<void> {
    const { commands, keys, times } = this.#options
    await commands.run((client) => client.set(keys.node(self), text, 'PX', times.nodeLeaseMs))
  }

  readonly #failed = (error: unknown): void => this.#options.onError(error, { stage: 'announce' })
}
