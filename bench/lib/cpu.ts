import type { BenchProcess } from './processes.js'
import type { BenchRedis } from './redis.js'

/** CPU that a stack's server processes and its Redis used, in microseconds. */
export interface CpuReading {
  nodes: readonly number[]
  redis: number
}

export async function readCpu(
  nodes: readonly BenchProcess[],
  redis: BenchRedis | undefined,
): Promise<CpuReading> {
  const [used, redisUs] = await Promise.all([
    Promise.all(nodes.map(async (node) => (await node.hook('cpu'))['us'] ?? Number.NaN)),
    redis?.cpuUs() ?? 0,
  ])
  return { nodes: used, redis: redisUs }
}

export function cpuBetween(before: CpuReading, after: CpuReading): CpuReading {
  return {
    nodes: after.nodes.map((us, index) => us - (before.nodes[index] ?? Number.NaN)),
    redis: after.redis - before.redis,
  }
}

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
