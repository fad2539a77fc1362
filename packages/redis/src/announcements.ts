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

/**
 * The announcements of nodes: one key each. The beat's script does not write them, because on a Cluster their slots
 * differ from its own.
 */
export class Announcements {
  readonly #options: AnnouncementsOptions
  /** This node's announcement. */
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

  /** Writes the text again, in the background: a failure is reported, and the next beat tries again. */
  renew(self: NodeId): void {
    if (this.#own !== undefined) this.#write(self, this.#own).catch(this.#failed)
  }

  /** The node has a new identity. The announcement of the former one ends by itself. */
  forget(): void {
    this.#own = undefined
  }

  /** Never rejects: an announcement that is not removed ends by itself. */
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
