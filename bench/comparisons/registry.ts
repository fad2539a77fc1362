import type { Comparison, Contender, Metrics, Row } from '../lib/comparison.js'
import { startProcess, REPOSITORY, type BenchProcess } from '../lib/processes.js'
import { startBenchRedis, type BenchRedis } from '../lib/redis.js'

const NAMES = 1_000_000
const QUICK_NAMES = 5000
const OPERATIONS = 200_000
const DEADLINE_MS = 300_000

const SUBJECT = 'peerage'

async function step(
  program: BenchProcess,
  redis: BenchRedis,
  command: string,
  count: number,
): Promise<Metrics> {
  const before = await redis.cpuUs()
  const found = await program.ask('registry', command, { count }, DEADLINE_MS)
  const redisUs = ((await redis.cpuUs()) - before) / count
  return {
    [`${command}PerSecond`]: found['perSecond'] ?? Number.NaN,
    [`${command}NodeUs`]: found['cpuUs'] ?? Number.NaN,
    [`${command}RedisUs`]: redisUs,
  }
}

const contender: Contender = {
  name: SUBJECT,
  start: async ({ quick }) => {
    const names = quick ? QUICK_NAMES : NAMES
    const operations = Math.min(OPERATIONS, names)
    const redis = await startBenchRedis()
    const script = `${REPOSITORY}bench/dist/bench/registry.js`
    const program = await startProcess({ script, args: ['--redis', redis.url] })
    return {
      measure: async () => {
        const before = await redis.usedBytes()
        const claimed = await step(program, redis, 'claim', names)
        const bytes = ((await redis.usedBytes()) - before) / names
        const renewed = await step(program, redis, 'renew', names)
        const lookedUp = await step(program, redis, 'lookup', operations)
        return { ...claimed, ...renewed, ...lookedUp, bytes }
      },
      stop: async () => {
        await program.stop()
        await redis.stop()
      },
    }
  },
}

const row = (measure: string, metric: string, unit: string): Row => ({
  measure: `registry at 1 M names: ${measure}`,
  metric,
  unit,
  subject: SUBJECT,
})

export const registry: readonly Comparison[] = [
  {
    id: 'registry-1m',
    title: 'The registry at one million names',
    load:
      `one process on @peerage/redis, 500 operations at the same time: ${NAMES} claims, a renewal of each name, ` +
      `${OPERATIONS} look-ups without locality; CPU of Redis and of the process; leases of 15 min`,
    processes: 'fresh',
    rounds: 1,
    contenders: [contender],
    rows: [
      row('claims', 'claimPerSecond', '/s'),
      row('CPU of Redis per claim', 'claimRedisUs', 'µs'),
      row('look-ups', 'lookupPerSecond', '/s'),
      row('CPU of Redis per look-up', 'lookupRedisUs', 'µs'),
      row('renewals', 'renewPerSecond', '/s'),
      row('CPU of Redis per renewal', 'renewRedisUs', 'µs'),
      {
        ...row('Redis memory per name', 'bytes', 'B'),
        aim: { of: 'value', most: 230 },
      },
    ],
  },
]
