import type { Peer } from '@peerage/protocol'
import type { Mailbox, MailboxLimits, Message, OnError } from '@peerage/core'
import { decodeMessage, encodeMessage } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import { readStrings } from './connections/commands.js'
import type { Keys } from './keys.js'
import { emptyScript, putScript } from './scripts/mailbox.js'

export interface RedisMailboxOptions {
  commands: Commands
  keys: Keys
  limits: MailboxLimits
  onError: OnError
}

/** In multiples of `expireMs`: a queue that no node asks for ends by itself, long after any node would have asked. */
const FORGOTTEN_AFTER = 3

/** Messages for absent peers: one bounded list each. */
export class RedisMailbox implements Mailbox {
  readonly #options: RedisMailboxOptions

  constructor(options: RedisMailboxOptions) {
    this.#options = options
  }

  async put(
    peer: Peer,
    message: Message,
  ): Promise<{ ok: true; since: number } | { ok: false; reason: 'full' }> {
    const { commands, keys, limits } = this.#options
    const answer = await commands.script(putScript, keys.queue(peer), [
      encodeMessage(message),
      Buffer.byteLength(message.frame),
      limits.messages,
      limits.length,
      FORGOTTEN_AFTER * limits.expireMs,
    ])
    const [made] = readStrings(answer)
    return made === undefined ? { ok: false, reason: 'full' } : { ok: true, since: Number(made) }
  }

  take(peer: Peer): Promise<Message[]> {
    return this.#empty(peer, 0)
  }

  expire(peer: Peer): Promise<Message[]> {
    return this.#empty(peer, 1)
  }

  async #empty(peer: Peer, old: 0 | 1): Promise<Message[]> {
    const { commands, keys, limits, onError } = this.#options
    const answer = await commands.script(emptyScript, keys.queue(peer), [limits.expireMs, old])
    const messages: Message[] = []
    for (const record of readStrings(answer)) {
      const message = decodeMessage(record)
      if (message) messages.push(message)
      else onError(new Error('a record in a mailbox is not a message'), { stage: 'mailbox' })
    }
    return messages
  }
}
