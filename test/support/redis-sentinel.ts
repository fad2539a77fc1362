import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory, orStop, removeDirectory, startServer, startTogether } from './fixture.js'
import { freePort } from './ports.js'
import { eventually, type Running } from './process.js'
import { ask, REDIS, startRedis, tlsDirectives, type RedisOptions, type RedisServer } from './redis.js'

export interface SentinelOptions {
  sentinels?: number
  replicas?: number
  /** How long a master may be silent before the sentinels consider it dead. */
  downAfterMs?: number
  /** Options for every Redis server. */
  redis?: Pick<RedisOptions, 'config' | 'args' | 'acl' | 'login' | 'tls'>
}

export interface Sentinel {
  host: string
  port: number
  running: Running
  /** Runs one command on it. Returns the answer as redis-cli prints it raw. */
  cli(...args: readonly string[]): Promise<string>
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

export interface SentinelSetup {
  /** The name by which the sentinels know the master. */
  readonly name: string
  readonly sentinels: readonly Sentinel[]
  /** `redis+sentinel://127.0.0.1:P1,127.0.0.1:P2,…/NAME`. */
  readonly url: string
  /** Every Redis server in starting order. The first one began as the master. */
  readonly servers: readonly RedisServer[]
  /** The server that the sentinels consider the master at this moment. */
  master(): Promise<RedisServer>
  /** Resolves with the master once all sentinels agree on one that is not `old` and that takes writes. */
  masterAfter(old: RedisServer, deadlineMs?: number): Promise<RedisServer>
  /** An orderly failover, on request to the sentinels. Resolves with the new master. */
  failover(): Promise<RedisServer>
  /** Sends SIGKILL or SIGSTOP to the master and resolves with it at once. After `restart` it is a stale master. */
  killMaster(): Promise<RedisServer>
  pauseMaster(): Promise<RedisServer>
  stop(): Promise<void>
}

const NAME = 'peerage'
const START_DEADLINE_MS = 20_000
const FAILOVER_DEADLINE_MS = 30_000
// Sentinel's default of 3 minutes between two attempts is longer than any test.
const FAILOVER_TIMEOUT_MS = 4_000
const TILT_TRIGGER_MS = '60000'
// How often a sentinel announces itself. With the default they would need two seconds to find each other.
const PUBLISH_MS = { atStart: '100', later: '2000' }

/** Starts a Redis master with replicas, and the sentinels that watch them. */
export async function startSentinel(options: SentinelOptions = {}): Promise<SentinelSetup> {
  const { sentinels: sentinelCount = 3, replicas = 1, downAfterMs = 1_500 } = options
  const master = await startRedis(redisOptions(options))
  const followers = await orStop([master], () =>
    startTogether(
      Array.from({ length: replicas }, () =>
        startRedis(redisOptions(options, ['--replicaof', master.host, String(master.port)])),
      ),
    ),
  )
  const servers = [master, ...followers]
  const watched = {
    master,
    quorum: Math.floor(sentinelCount / 2) + 1,
    downAfterMs,
    redis: options.redis ?? {},
  }
  const sentinels = await orStop(servers, () =>
    startTogether(Array.from({ length: sentinelCount }, () => launchSentinel(watched))),
  )
  await orStop([...sentinels, ...servers], async () => {
    await Promise.all(sentinels.map((sentinel) => untilComplete(sentinel, sentinelCount, replicas)))
    await Promise.all(
      sentinels.map((sentinel) => sentinel.cli('SENTINEL', 'DEBUG', 'PUBLISH-PERIOD', PUBLISH_MS.later)),
    )
    await eventually('the replicas follow', () => allFollow(master, replicas), {
      deadlineMs: START_DEADLINE_MS,
    })
  })
  return describe(sentinels, servers, options.redis?.tls === undefined ? 'redis' : 'rediss')
}

function describe(
  sentinels: readonly Sentinel[],
  servers: readonly RedisServer[],
  scheme: 'redis' | 'rediss',
): SentinelSetup {
  const setup: SentinelSetup = {
    name: NAME,
    sentinels,
    servers,
    url: `${scheme}+sentinel://${sentinels.map(({ host, port }) => `${host}:${port}`).join(',')}/${NAME}`,
    master: async () => {
      const told = await Promise.any(sentinels.map((sentinel) => masterPort(sentinel)))
      return serverAt(servers, told)
    },
    masterAfter: (old, deadlineMs = FAILOVER_DEADLINE_MS) =>
      eventually(`another master than port ${old.port}`, () => agreed(sentinels, servers, old), {
        deadlineMs,
      }),
    failover: async () => {
      const old = await setup.master()
      const [sentinel] = sentinels
      if (sentinel === undefined) throw new Error('no sentinel to ask')
      // A sentinel that has just learned of a replica does not promote it until it knows the replica's state.
      await eventually('a failover begins', () => sentinel.cli('SENTINEL', 'FAILOVER', NAME), {
        deadlineMs: FAILOVER_DEADLINE_MS,
      })
      return setup.masterAfter(old)
    },
    killMaster: async () => {
      const victim = await setup.master()
      await victim.kill()
      return victim
    },
    pauseMaster: async () => {
      const victim = await setup.master()
      await victim.pause()
      return victim
    },
    stop: async () => {
      await Promise.all([...sentinels, ...servers].map((each) => each.stop()))
    },
  }
  return setup
}

function redisOptions(options: SentinelOptions, args: readonly string[] = []): RedisOptions {
  return {
    ...options.redis,
    args: [...args, ...(options.redis?.args ?? [])],
    // By default a master waits five seconds for more replicas before it sends its data.
    config: { 'repl-diskless-sync-delay': '0', ...options.redis?.config },
  }
}

async function launchSentinel(watched: {
  master: RedisServer
  quorum: number
  downAfterMs: number
  redis: Pick<RedisOptions, 'login' | 'tls'>
}): Promise<Sentinel> {
  const directory = await makeDirectory('sentinel')
  const port = await freePort()
  const host = '127.0.0.1'
  const file = join(directory, 'sentinel.conf') // a sentinel writes what it learns into its own configuration
  const { master, quorum, downAfterMs, redis } = watched
  const { login, tls } = redis
  const listening = tls === undefined ? { port: String(port) } : tlsDirectives(port, tls)
  const lines = [
    ...Object.entries(listening).map(([name, value]) => `${name} ${value}`),
    `bind ${host}`,
    `dir ${directory}`,
    `sentinel monitor ${NAME} ${master.host} ${master.port} ${quorum}`,
    `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${NAME} ${FAILOVER_TIMEOUT_MS}`,
    `sentinel parallel-syncs ${NAME} 1`,
    ...(login === undefined ? [] : [`sentinel auth-pass ${NAME} ${login.password}`]),
    ...(login?.username === undefined ? [] : [`sentinel auth-user ${NAME} ${login.username}`]),
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  const cli = (...command: readonly string[]): Promise<string> =>
    ask({ host, port, options: tls === undefined ? {} : { tls } }, command)
  const running = await startServer(REDIS, {
    args: [file, '--sentinel'],
    directory,
    ready: {
      what: `sentinel on port ${port} answers PING`,
      probe: () => cli('PING'),
      deadlineMs: START_DEADLINE_MS,
    },
  })
  const stop = async (): Promise<void> => {
    await running.stop()
    await removeDirectory(directory)
  }
  const sentinel = { host, port, running, cli, stop }
  return orStop([sentinel], async () => {
    await cli('SENTINEL', 'DEBUG', 'PUBLISH-PERIOD', PUBLISH_MS.atStart)
    // By default a sentinel that was held up for two seconds takes part in no failover for half a minute.
    await cli('SENTINEL', 'DEBUG', 'TILT-TRIGGER', TILT_TRIGGER_MS)
    return sentinel
  })
}

/** A failover needs sentinels that know each other and the replicas. */
async function untilComplete(sentinel: Sentinel, sentinels: number, replicas: number): Promise<void> {
  await eventually(
    `sentinel on port ${sentinel.port} knows the others`,
    async () => {
      const fields = (await sentinel.cli('SENTINEL', 'MASTER', NAME)).split('\n')
      const field = (name: string): number => Number(fields[fields.indexOf(name) + 1])
      return field('num-other-sentinels') === sentinels - 1 && field('num-slaves') === replicas
        ? true
        : undefined
    },
    { deadlineMs: START_DEADLINE_MS, running: sentinel.running },
  )
}

/**
 * A replica counts as online as soon as it was sent the master's data, but it gets later writes only afterwards. Only a
 * replica that has acknowledged the stream, which includes the sentinels' announcements, can take over without loss.
 */
async function allFollow(master: RedisServer, replicas: number): Promise<true | undefined> {
  const told = await master.cli('INFO', 'replication')
  const following = told.match(/state=online,offset=[1-9]/g)?.length ?? 0
  return following === replicas ? true : undefined
}

async function masterPort(sentinel: Sentinel): Promise<number> {
  const [, port] = (await sentinel.cli('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)).split('\n')
  return Number(port)
}

async function agreed(
  sentinels: readonly Sentinel[],
  servers: readonly RedisServer[],
  old: RedisServer,
): Promise<RedisServer | undefined> {
  const told = new Set(await Promise.all(sentinels.map((sentinel) => masterPort(sentinel))))
  const [port] = told
  if (port === undefined || told.size !== 1 || told.has(old.port)) return undefined
  const server = serverAt(servers, port)
  const [role] = (await server.cli('ROLE')).split('\n')
  return role === 'master' ? server : undefined
}

function serverAt(servers: readonly RedisServer[], port: number): RedisServer {
  const server = servers.find((each) => each.port === port)
  if (server === undefined)
    throw new Error(`the sentinels name a master on port ${port}, which is none of our servers`)
  return server
}
