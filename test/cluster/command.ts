import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { afterEach, beforeAll } from 'vitest'
import { ensureBuilt, PEERAGE_BIN } from '@peerage/test-support/node.js'
import { startChild, type Child } from '@peerage/test-support/process.js'

/** Helpers that the tests of the command `peerage` share. */
export interface Command {
  /** These run after the test, in reverse order. */
  cleanups: (() => Promise<unknown> | void)[]
  /** Starts the command; it is stopped after the test. */
  peerage: (args: readonly string[], env?: Record<string, string>) => Promise<Child>
  /** Runs the command until it ends. */
  ended: (
    args: readonly string[],
    env?: Record<string, string>,
  ) => Promise<{ code: number | null; text: string }>
  /** Takes a port that a command wants to listen on. */
  occupy: (port: number) => Promise<Server>
}

export function useCommand(): Command {
  const cleanups: Command['cleanups'] = []
  beforeAll(ensureBuilt)
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })
  const peerage: Command['peerage'] = async (args, env = {}) => {
    const child = await startChild({
      command: process.execPath,
      args: [PEERAGE_BIN, ...args],
      env,
    })
    cleanups.push(() => child.stop())
    return child
  }
  return {
    cleanups,
    peerage,
    ended: async (args, env) => {
      const child = await peerage(args, env)
      const { code } = await child.stopped
      return { code, text: child.lines.join('\n') }
    },
    occupy: async (port) => {
      const server = createServer()
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
      cleanups.push(() => void server.close())
      return server
    },
  }
}
