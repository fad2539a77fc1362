import { mintNodeId, systemClock } from '@peerage/core'
import { parseConnectionId, parsePeer } from '@peerage/protocol'
import { UnfitRedis, type Inspection, type RedisBackend } from '@peerage/redis'
import { statSync } from 'node:fs'
import { createOutbound } from '../access/outbound.js'
import { redisBackend } from '../backend.js'
import type { Config } from '../config/schema.js'
import { unwatchedFiles, UnusableFile } from '../config/tls-files.js'
import { reasonOf } from '../lib/reason.js'
import { redisAdvice } from '../redis-advice.js'
import {
  checkAdvice,
  checkBacklog,
  checkDescriptors,
  checkNodeVersion,
  checkPage,
  checkProxies,
  checkTls,
  type Finding,
} from './doctor-checks.js'
import { checkAccess, checkEntrance, checkSecretFiles } from './doctor-access.js'
import { checkLinks } from './doctor-links.js'
import { checkPorts } from './doctor-ports.js'
import { checkWires } from './doctor-wires.js'
import type { Given } from './configured.js'
import type { ExitCode, Surroundings } from './surroundings.js'

/** Redis on the same network answers in well under a millisecond. Commands fail after times.commandMs. */
const SLOW_REDIS_MS = 20
/** A larger difference makes the logs of two machines hard to compare, and TURN credentials last only minutes. */
const SKEW_MS = 1_000
/** After this, a Redis that has not answered counts as absent. */
const REDIS_WITHIN_MS = 4_000

/** Checks everything that a node needs. Each check prints one line: ok, warn or fail, and what to do. */
export async function doctor(
  config: Config,
  { out, readFile }: Surroundings,
  { secretFiles }: Pick<Given<Config>, 'secretFiles'>,
): Promise<ExitCode> {
  let failed = false
  const print = ({ verdict, subject, text }: Finding): void => {
    failed ||= verdict === 'fail'
    out(`${verdict.padEnd(4)}  ${subject.padEnd(12)}  ${text}`)
  }
  print(checkNodeVersion(process.versions.node))
  print(checkDescriptors(config, readFile))
  print(checkBacklog(readFile))
  for (const finding of await checkPorts(config)) print(finding)
  if (config.tls.cert !== null) print(checkTls(config, systemClock.now()))
  for (const finding of checkEntrance(config)) print(finding)
  for (const finding of checkProxies(config)) print(finding)
  for (const finding of await checkAccessOf(config)) print(finding)
  for (const finding of checkSecretFiles(config, secretFiles, (path) => statSync(path).mode)) print(finding)
  for (const finding of checkWires(config)) print(finding)
  for (const finding of await checkRedis(config)) print(finding)
  for (const finding of await checkAdvice(config)) print(finding)
  print(checkPage(config))
  return failed ? 1 : 0
}

async function checkAccessOf(config: Config): Promise<Finding[]> {
  const outbound = createOutbound({ clock: systemClock })
  try {
    return await checkAccess(config, { outbound })
  } finally {
    outbound.stop()
  }
}

async function checkRedis(config: Config): Promise<Finding[]> {
  const subject = 'redis'
  let said: string | undefined
  const options = {
    clock: systemClock,
    files: unwatchedFiles(systemClock),
    onError: (error: unknown) => {
      // A refusal by Redis says more than the deadline that we miss because of it.
      if (said === undefined || !said.startsWith('NOPERM')) said = reasonOf(error)
    },
  }
  let backend: RedisBackend | undefined
  try {
    backend = redisBackend(config, options)
  } catch (error) {
    if (error instanceof UnusableFile) return [{ verdict: 'fail', subject, text: error.message }]
    throw error
  }
  if (backend === undefined)
    return [
      {
        verdict: 'ok',
        subject,
        text: 'none: this process keeps all names in its memory; several nodes need --redis',
      },
    ]
  const advise = redisAdvice(config.redis)
  const started = backend.start(() => {})
  try {
    await within(REDIS_WITHIN_MS, started)
    const findings = describe(config, await backend.inspect())
    const keys = await checkKeys(config, backend)
    findings.push(keys, await checkChannels(config, backend, () => said))
    // Nodes announce their links in these keys.
    if (keys.verdict === 'ok')
      findings.push(...(await checkLinks(config, backend.nodes, backend.localAddress())))
    return findings
  } catch (error) {
    if (error instanceof UnfitRedis) return [{ verdict: 'fail', subject, text: error.message }]
    // Without an error of the connection, Redis is silent.
    const text = said ?? `${reasonOf(error)}; check redis.url, the network, and redis-cli PING`
    return [{ verdict: 'fail', subject, text: advise(text) }]
  } finally {
    await backend.stop()
  }
}

/** Writes the lease of a node and takes it back, so that no other node notices. */
async function checkKeys(config: Config, backend: RedisBackend): Promise<Finding> {
  const subject = 'redis'
  const keys = `${config.redis.prefix}*`
  backend.identify(mintNodeId())
  try {
    await backend.nodes.beat()
    await backend.nodes.leave()
    return { verdict: 'ok', subject, text: `its keys (${keys}) may be used` }
  } catch (error) {
    const text = redisAdvice(config.redis)(reasonOf(error))
    return { verdict: 'fail', subject, text }
  }
}

/** Sends an envelope to itself over the bus, as nodes send them to each other. */
async function checkChannels(
  config: Config,
  backend: RedisBackend,
  said: () => string | undefined,
): Promise<Finding> {
  const subject = 'redis'
  const channels = `${config.redis.prefix}*`
  const node = mintNodeId()
  try {
    await within(
      REDIS_WITHIN_MS,
      new Promise<void>((resolve, reject) => {
        const [connection, peer] = [parseConnectionId('0'), parsePeer('default/doctor')]
        if (!connection.ok || !peer.ok)
          throw new Error('the connection and the peer of this check are malformed')
        const envelope = {
          type: 'superseded',
          peer: peer.value,
          connection: connection.value,
          epoch: 0,
        } as const
        backend.bus
          .subscribe(node, () => resolve())
          .then(() => backend.bus.publish(node, envelope))
          .catch(reject)
      }),
    )
    return { verdict: 'ok', subject, text: `its channels (${channels}) carry messages` }
  } catch (error) {
    const why = redisAdvice(config.redis)(said() ?? reasonOf(error))
    return { verdict: 'fail', subject, text: `no message came back: ${why}` }
  }
}

function describe(config: Config, redis: Inspection): Finding[] {
  const subject = 'redis'
  const { version, topology, maxmemoryPolicy, latencyMs, clockSkewMs } = redis
  const findings: Finding[] = [{ verdict: 'ok', subject, text: `version ${version}, ${topology}` }]
  const latency = `answers in ${latencyMs.toFixed(1)} ms`
  if (latencyMs < SLOW_REDIS_MS) findings.push({ verdict: 'ok', subject, text: latency })
  else {
    const advice = `commands fail after ${config.times.commandMs} ms; move Redis closer, or look for slow commands (SLOWLOG GET)`
    findings.push({ verdict: 'warn', subject, text: `${latency}: ${advice}` })
  }
  if (maxmemoryPolicy === undefined)
    findings.push({
      verdict: 'warn',
      subject,
      text: 'an ACL hides maxmemory-policy: make sure that the policy is noeviction',
    })
  else if (maxmemoryPolicy === 'noeviction')
    findings.push({ verdict: 'ok', subject, text: 'maxmemory-policy noeviction' })
  else {
    const advice = 'set noeviction, or Redis drops names when its memory is full'
    findings.push({ verdict: 'warn', subject, text: `maxmemory-policy ${maxmemoryPolicy}: ${advice}` })
  }
  const skew = `its clock is ${Math.abs(clockSkewMs).toFixed(0)} ms ${clockSkewMs < 0 ? 'behind' : 'ahead of'} the clock of this machine`
  if (Math.abs(clockSkewMs) < SKEW_MS) findings.push({ verdict: 'ok', subject, text: skew })
  else findings.push({ verdict: 'warn', subject, text: `${skew}: run NTP on both machines` })
  return findings
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
