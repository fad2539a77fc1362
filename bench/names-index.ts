/**
 * One node on Redis, without sockets, for the comparisons of the index. Commands from the runner:
 * - `claim` {count}: as many connections claim a name each; with `--indexed`, until the index has all of them;
 * - `fill` {count}: writes entries into the index; `pages`: reads all of them, a thousand in a page;
 * - `fill-plain`, `pages-plain`: the same with one plain sorted set.
 */
import { parseArgs } from 'node:util'
import {
  Node,
  PARTITIONS,
  defaultTimes,
  mintNodeId,
  partitionOf,
  systemClock,
  type Connection,
  type IndexChange,
} from '@peerage/core'
import { parseApp, parseName, peerOf, type App, type Name, type Parsed } from '@peerage/protocol'
import { createRedisBackend } from '@peerage/redis'
import { Redis } from 'ioredis'
import { answerCommands, type Numbers } from './lib/channel.js'
import { asNumber } from './loads/wire.js'

const { values } = parseArgs({
  options: { redis: { type: 'string' }, indexed: { type: 'boolean', default: false } },
})
if (values.redis === undefined) throw new Error('--redis is missing')

const CONCURRENCY = 500
const NAMES_PER_WRITE = 500
const NAMES_PER_PAGE = 1_000
const NAME_DIGITS = 9
/** Nothing ends while it is measured. */
const TTL_MS = 900_000
const READY_POLL_MS = 20
const PLAIN = 'pg:plain'

const app: App = parsed(parseApp('default'))
const onError = (error: unknown, context: { stage: string }): void =>
  void process.stderr.write(`${context.stage}: ${String(error)}\n`)
const times = { ...defaultTimes, nameTtlMs: TTL_MS }
const backend = createRedisBackend({ url: values.redis, times, clock: systemClock, onError })
const node = new Node({
  backend,
  times,
  clock: systemClock,
  claimMs: TTL_MS,
  mailboxMs: 5_000,
  onError,
  onEvent: () => {},
})
node.indexing.setIndexed(() => values.indexed)
const plain = new Redis(values.redis)

const nameAt = (index: number): Name => parsed(parseName(`peer-${String(index).padStart(NAME_DIGITS, '0')}`))

function open(): Connection {
  const connection: Connection = {
    id: node.sessions.newId(),
    wire: 'native',
    isBehind: false,
    isOpen: true,
    send: () => true,
    close: () => {},
  }
  node.open(connection)
  return connection
}

async function claim(count: number): Promise<Numbers> {
  const connections = Array.from({ length: count }, open)
  const cpuBefore = process.cpuUsage()
  const start = performance.now()
  let next = 0
  const some = async (): Promise<void> => {
    while (next < count) {
      const index = next++
      const connection = connections[index]
      if (connection === undefined) return
      const request = {
        peer: peerOf(app, nameAt(index)),
        secret: 'a-secret-that-all-share',
        policy: 'refuse',
      } as const
      const outcome = await node.claim(connection, request)
      if (!outcome.ok) throw new Error(`a claim got ${outcome.code}`)
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, some))
  // With the index, its last writes belong to the claims.
  const listed = await node.listing.count(app)
  const ms = performance.now() - start
  const { user, system } = process.cpuUsage(cpuBefore)
  if (listed !== (values.indexed ? count : 0)) throw new Error(`the index has ${listed} names`)
  return { perSecond: (count * 1_000) / ms, cpuUs: (user + system) / count }
}

async function fill(count: number): Promise<Numbers> {
  const holder = mintNodeId()
  const puts = Array.from({ length: PARTITIONS }, (): IndexChange[] => [])
  for (let index = 0; index < count; index++) {
    const name = nameAt(index)
    const epoch = Date.now() + index
    const entry = { name, node: holder, state: 'online', since: epoch, epoch } as const
    puts[partitionOf(name)]?.push({ type: 'put', entry, over: epoch, ttlMs: TTL_MS })
  }
  for (const [partition, changes] of puts.entries())
    for (let from = 0; from < changes.length; from += NAMES_PER_WRITE)
      await backend.index.write(app, partition, changes.slice(from, from + NAMES_PER_WRITE))
  return {}
}

async function pages(): Promise<Numbers> {
  const start = performance.now()
  let names = 0
  for (let partition = 0; partition < PARTITIONS; partition++) {
    let after: Name | undefined
    do {
      const page = await backend.index.page(app, partition, after, NAMES_PER_PAGE)
      names += page.entries.length
      after = page.next
    } while (after !== undefined)
  }
  return { names, ms: performance.now() - start }
}

async function fillPlain(count: number): Promise<Numbers> {
  for (let from = 0; from < count; from += NAMES_PER_WRITE) {
    const some = Array.from({ length: Math.min(NAMES_PER_WRITE, count - from) }, (_, i) => nameAt(from + i))
    await plain.zadd(PLAIN, ...some.flatMap((name) => [0, name]))
  }
  return {}
}

async function pagesPlain(): Promise<Numbers> {
  const start = performance.now()
  let names = 0
  let from = '-'
  for (;;) {
    const page = await plain.zrangebylex(PLAIN, from, '+', 'LIMIT', 0, NAMES_PER_PAGE)
    names += page.length
    if (page.length < NAMES_PER_PAGE) return { names, ms: performance.now() - start }
    from = `(${page.at(-1)}`
  }
}

function parsed<T>(result: Parsed<T>): T {
  if (result.ok) return result.value
  throw new Error(result.problem)
}

await node.start()
while (!node.readiness().ready) await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS))
answerCommands('index', {
  claim: (options) => claim(asNumber(options['count'])),
  fill: (options) => fill(asNumber(options['count'])),
  pages,
  'fill-plain': (options) => fillPlain(asNumber(options['count'])),
  'pages-plain': pagesPlain,
})
process.channel?.ref()
console.log(JSON.stringify({ msg: 'ready' }))
