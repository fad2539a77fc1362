import { Redis } from 'ioredis'
import { startRedis } from '@peerage/test-support/redis.js'

/** A redis-server for one stack alone, and its own figures. */
export interface BenchRedis {
  readonly url: string
  readonly port: number
  /** CPU of all its threads since its start, user and system, in microseconds (INFO cpu). */
  cpuUs(): Promise<number>
  /** Bytes in use by its data and clients (INFO memory, used_memory). */
  usedBytes(): Promise<number>
  /** Calls of each command so far, with those inside scripts and without INFO (INFO commandstats). */
  calls(): Promise<Readonly<Record<string, number>>>
  /** Microseconds in which Redis has carried out this command so far (INFO commandstats). */
  spentUs(command: string): Promise<number>
  command(name: string, ...args: (string | number)[]): Promise<unknown>
  stop(): Promise<void>
}

export async function startBenchRedis(): Promise<BenchRedis> {
  const server = await startRedis()
  const connection = new Redis(server.url)
  const field = async (section: string, name: string): Promise<number> => {
    const text = await connection.info(section)
    const value = new RegExp(`^${name}:([0-9.]+)`, 'm').exec(text)?.[1]
    if (value === undefined) throw new Error(`INFO ${section} has no ${name}`)
    return Number(value)
  }
  return {
    url: server.url,
    port: server.port,
    cpuUs: async () => 1e6 * ((await field('cpu', 'used_cpu_user')) + (await field('cpu', 'used_cpu_sys'))),
    usedBytes: () => field('memory', 'used_memory'),
    calls: async () => readCalls(await connection.info('commandstats')),
    spentUs: async (command) => {
      const text = await connection.info('commandstats')
      return Number(new RegExp(`^cmdstat_${command}:calls=\\d+,usec=(\\d+)`, 'm').exec(text)?.[1] ?? 0)
    },
    command: (name, ...args) => connection.call(name, ...args),
    stop: async () => {
      connection.disconnect()
      await server.stop()
    },
  }
}

function readCalls(text: string): Record<string, number> {
  const calls: Record<string, number> = {}
  for (const [, command, count] of text.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)) {
    if (command !== undefined && command !== 'info') calls[command] = Number(count)
  }
  return calls
}

/** The version of the Redis that every stack here uses. */
export async function redisVersion(): Promise<string> {
  const server = await startRedis()
  const text = await server.cli('INFO', 'server')
  await server.stop()
  return /^redis_version:(\S+)/m.exec(text)?.[1] ?? 'unknown'
}
