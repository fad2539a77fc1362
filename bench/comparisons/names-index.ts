import type { Comparison, Contender, Metrics } from '../lib/comparison.js'
import { startProcess, REPOSITORY } from '../lib/processes.js'
import { startBenchRedis } from '../lib/redis.js'

const CLAIMS = 60_000
const NAMES = 100_000
const QUICK = 2_000
const DEADLINE_MS = 120_000
/** Each page is read this often, so that Redis's own clock, which counts microseconds, is precise enough. */
const WALKS = 5
const PAGE = 1_000

const WITH = 'with the index'
const WITHOUT = 'without'
const INDEX = 'the index'
const PLAIN = 'a plain sorted set'

const script = `${REPOSITORY}bench/dist/bench/names-index.js`

function claiming(name: string, args: readonly string[]): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const redis = await startBenchRedis()
      const program = await startProcess({ script, args: ['--redis', redis.url, ...args] })
      const count = quick ? QUICK : CLAIMS
      return {
        measure: async (): Promise<Metrics> => {
          const before = await redis.cpuUs()
          const found = await program.ask('index', 'claim', { count }, DEADLINE_MS)
          return {
            perSecond: found['perSecond'] ?? Number.NaN,
            nodeUs: found['cpuUs'] ?? Number.NaN,
            redisUs: ((await redis.cpuUs()) - before) / count,
          }
        },
        stop: async () => {
          await program.stop()
          await redis.stop()
        },
      }
    },
  }
}

/** `command`: the Redis command that reads a page. */
function paging(name: string, fill: string, pages: string, command: string): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const redis = await startBenchRedis()
      const program = await startProcess({ script, args: ['--redis', redis.url] })
      const count = quick ? QUICK : NAMES
      await program.ask('index', fill, { count }, DEADLINE_MS)
      return {
        measure: async (): Promise<Metrics> => {
          const before = await redis.spentUs(command)
          let ms = 0
          for (let walk = 0; walk < WALKS; walk++) {
            const found = await program.ask('index', pages, {}, DEADLINE_MS)
            if (found['names'] !== count) throw new Error(`read ${found['names']} of ${count} names`)
            ms += found['ms'] ?? Number.NaN
          }
          const pagesRead = (WALKS * count) / PAGE
          const spentUs = (await redis.spentUs(command)) - before
          return { redisMs: spentUs / 1_000 / pagesRead, callerMs: ms / pagesRead }
        },
        stop: async () => {
          await program.stop()
          await redis.stop()
        },
      }
    },
  }
}

export const namesIndex: readonly Comparison[] = [
  {
    id: 'claims-index',
    title: 'What a claim costs with the index of its app, and without',
    load:
      `one node on a Redis of its own, without sockets: ${CLAIMS} claims, 500 connections at the same time, until the ` +
      'index has all names; CPU of Redis and of the node',
    processes: 'fresh',
    rounds: 5,
    contenders: [claiming(WITH, ['--indexed']), claiming(WITHOUT, [])],
    rows: [
      {
        measure: 'claims with the index',
        metric: 'perSecond',
        unit: '/s',
        subject: WITH,
        against: WITHOUT,
        aim: { of: 'ratio', least: 0.9 },
      },
      { measure: 'CPU of Redis per claim', metric: 'redisUs', unit: 'µs', subject: WITH, against: WITHOUT },
      { measure: 'CPU of the node per claim', metric: 'nodeUs', unit: 'µs', subject: WITH, against: WITHOUT },
    ],
  },
  {
    id: 'index-page',
    title: 'A page of a thousand names out of a hundred thousand',
    load:
      `an app of ${NAMES} names in its 16 partitions, read page by page, ${WALKS} times, by one caller; ` +
      'time in Redis (INFO commandstats), for each thousand names; the other is ZRANGEBYLEX on one sorted set',
    processes: 'fresh',
    rounds: 3,
    contenders: [
      paging(INDEX, 'fill', 'pages', 'evalsha'),
      paging(PLAIN, 'fill-plain', 'pages-plain', 'zrangebylex'),
    ],
    rows: [
      {
        measure: 'a page of 1,000 names at Redis',
        metric: 'redisMs',
        unit: 'ms',
        subject: INDEX,
        against: PLAIN,
        aim: { of: 'value', most: 20 },
      },
      { measure: 'the same for the caller', metric: 'callerMs', unit: 'ms', subject: INDEX, against: PLAIN },
    ],
  },
]
