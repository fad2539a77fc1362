import type { Clock, OnError } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import { Redis } from 'ioredis'
import type { Client } from './connect.js'
import { writeTogether } from './connect.js'
import type { Script } from '../scripts/script.js'
import { isForbidden, isNoScript, unavailable } from './errors.js'

export interface CommandsOptions {
  client: Client
  clock: Clock
  /** A command without an answer after this time has failed. */
  commandMs: number
  onError: OnError
}

/** Runs commands with a deadline. Every failure is a RegistryUnavailable, with Redis's own text. */
export class Commands {
  readonly client: Client
  readonly #clock: Clock
  readonly #commandMs: number
  readonly #onError: OnError

  constructor(options: CommandsOptions) {
    this.client = options.client
    this.#onError = options.onError
    this.#clock = options.clock
    this.#commandMs = options.commandMs
  }

  /** Runs a script by its SHA-1, or sends it whole if Redis does not know it (any more). */
  async script(
    script: Script,
    keys: string | readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    const all = typeof keys === 'string' ? [keys] : keys
    return this.run(async (client) => {
      try {
        return await client.evalsha(script.sha, all.length, ...all, ...args)
      } catch (error) {
        if (!isNoScript(error)) throw error
        return client.eval(script.lua, all.length, ...all, ...args)
      }
    })
  }

  /** Runs a command. Rejects at the deadline, although Redis may still carry the command out later. */
  run<T>(command: (client: Client) => Promise<T>): Promise<T> {
    if (this.client.status !== 'ready')
      return Promise.reject(new RegistryUnavailable(`not connected to Redis (${this.client.status})`))
    if (this.client instanceof Redis) writeTogether(this.client)
    return new Promise<T>((resolve, reject) => {
      const timer = this.#clock.after(this.#commandMs, () =>
        reject(new RegistryUnavailable(`Redis did not answer within ${this.#commandMs} ms`)),
      )
      command(this.client).then(
        (answer) => {
          timer.cancel()
          resolve(answer)
        },
        (error: unknown) => {
          timer.cancel()
          // Reported here, because beats may go on working and would hide it.
          if (isForbidden(error)) this.#onError(error, { stage: 'permission' })
          reject(unavailable(error))
        },
      )
    })
  }
}

/** Checks that a script's answer is a list of strings. */
export function readStrings(answer: unknown): string[] {
  if (Array.isArray(answer) && answer.every((item): item is string => typeof item === 'string')) return answer
  throw new RegistryUnavailable(`Redis gave an answer that none of our scripts gives: ${typeof answer}`)
}
