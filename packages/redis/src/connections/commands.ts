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
  /** Within so many milliseconds a command is answered, or has failed. */
  commandMs: number
  onError: OnError
}

/** Runs commands with a deadline. Whatever goes wrong is RegistryUnavailable, with Redis's own words. */
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

  /** Runs a script by its name, or whole where Redis does not know it (any more). */
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

  /** Rejects at the deadline although the command may still be carried out: its caller has given up by then. */
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
          // Beats may well go on: nobody would learn of it.
          if (isForbidden(error)) this.#onError(error, { stage: 'permission' })
          reject(unavailable(error))
        },
      )
    })
  }
}

/** Redis's lists of strings, as the scripts answer them. */
export function readStrings(answer: unknown): string[] {
  if (Array.isArray(answer) && answer.every((item): item is string => typeof item === 'string')) return answer
  throw new RegistryUnavailable(`an answer that no script of ours gives: ${typeof answer}`)
}
