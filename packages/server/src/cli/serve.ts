import { networkInterfaces } from 'node:os'
import { checkReach } from '../config/check-apps.js'
import { linesOf } from '../config/load.js'
import { defaultConfig, type Config } from '../config/schema.js'
import { UnusableFile } from '../config/tls-files.js'
import { PortUnavailable } from '../http/listen.js'
import { reasonOf } from '../lib/reason.js'
import { createLogger, isPretty, standardOutput, type Logger } from '../metrics/log.js'
import { PeerageServer, type Listening } from '../server.js'
import { addressesBeyondLoopback, urlAt, type Interfaces } from './addresses.js'
import type { Given } from './configured.js'
import { toldToEnd, type ExitCode, type StartedAs, type Surroundings } from './surroundings.js'

/** On a terminal, a node that is not ready after this says that it has not failed. */
const LATE_MS = 1_500

/** Runs one node until it is told to end. */
export async function serve(
  config: Config,
  surroundings: Surroundings,
  { again }: Pick<Given<Config>, 'again'>,
): Promise<ExitCode> {
  const { err } = surroundings
  let server: PeerageServer | undefined
  const log = createLogger(config.log.level, standardOutput(config.log.format, surroundings.env), () =>
    server === undefined ? {} : { node: server.node.id },
  )
  let listening: Listening
  try {
    server = new PeerageServer({ config, log })
    listening = await server.listen()
  } catch (error) {
    await server?.stop()
    if (error instanceof PortUnavailable)
      for (const line of portAdvice(error, config, surroundings)) err(line)
    else if (error instanceof UnusableFile) err(`peerage: ${error.message}`)
    else throw error
    return error instanceof UnusableFile ? 2 : 1
  }
  const running = server
  surroundings.onHangup(() => reload(running, again))
  log.info(listening, 'listening')
  const ready = running.ready().then(
    () => announce(running, listening, { config, log, surroundings }),
    (error: unknown) => ({ failure: reasonOf(error) }),
  )
  const stop = toldToEnd(surroundings)
  const late = setTimeout(() => {
    const readiness = running.readiness()
    // The log has said why, and for how long.
    if (readiness.ready || readiness.reason === 'settling') return
    if (surroundings.isTerminal) err('\nNot ready yet. It keeps trying; Ctrl-C ends it.\n')
  }, LATE_MS)
  const ended = await Promise.race([ready, stop])
  clearTimeout(late)
  if (ended !== undefined) {
    err(`peerage: ${ended.failure}`)
    log[isToldByText(config, surroundings) ? 'debug' : 'error']({ error: ended.failure }, 'not started')
    await running.stop()
    return 1
  }
  await stop
  return drain(running, config.times.drainMs, log)
}

/** Reads the settings and the TLS files again. What is wrong is logged, and what was there before stays. */
function reload(server: PeerageServer, again: Given<Config>['again']): void {
  server.readTlsAgain()
  try {
    const loaded = again()
    if (loaded.ok) server.reloads.take(loaded.config)
    else server.reloads.failed(linesOf(loaded.problems))
  } catch (error) {
    server.reloads.failed([reasonOf(error)])
  }
}

/** On a terminal, a text for people replaces the log line that says the same. */
function isToldByText({ log }: Config, { isTerminal }: Surroundings): boolean {
  return isTerminal && isPretty(log.format)
}

/** Beside the default ports of a node and of its P2P server. */
const OTHER_PORT = 9_100

function portAdvice(error: PortUnavailable, { port }: Config, { startedAs }: Surroundings): string[] {
  const lines = [`peerage: ${error.message}`]
  const isMainPort = error.message.includes(' port (--port)')
  if (error.isTaken && isMainPort)
    lines.push(`For another port: ${startedAs.serve} --port ${port === OTHER_PORT ? 9_000 : OTHER_PORT}`)
  return lines
}

interface Announced {
  config: Config
  log: Logger
  surroundings: Surroundings
}

function announce(
  server: PeerageServer,
  listening: Listening,
  { config, log, surroundings }: Announced,
): void {
  const details = { ...listening, links: server.linksAddress, node: server.node.id }
  log[isToldByText(config, surroundings) ? 'debug' : 'info'](details, 'ready')
  if (!surroundings.isTerminal) return
  for (const line of readyText(listening.url, config, networkInterfaces(), surroundings.startedAs))
    surroundings.err(line)
}

/** What to open, here and on other devices, and how to let other devices in. */
export function readyText(
  url: string,
  config: Config,
  interfaces: Interfaces,
  { serve: command }: Pick<StartedAs, 'serve'>,
): string[] {
  const urls = addressesBeyondLoopback(config.host, interfaces).map((address) => urlAt(url, address))
  const open = config.page
    ? ['Open its page in a browser, and the link that the page shows in another tab or on another device:']
    : []
  const all = [url, ...urls.filter((each) => each !== url)].map((each) => `  ${each}`)
  const more = urls.length > 0 ? plainHttp(config) : [...lettingIn(url, config, interfaces, command)]
  return ['', 'Peerage is ready.', ...open, ...all, ...more, 'Ctrl-C ends it.', '']
}

function plainHttp({ tls }: Pick<Config, 'tls'>): string[] {
  if (tls.cert !== null) return []
  return [
    'Over plain http, the browser of another device receives files of at most 256 MB, and has no camera and no microphone. With https there are no such limits.',
  ]
}

/** Says how to listen for other devices, with the access rule that this requires. */
function lettingIn(url: string, config: Config, interfaces: Interfaces, command: string): string[] {
  const { port } = config
  const portFlag = port === defaultConfig.port || port === 0 ? '' : ` --port ${port}`
  const start = `  ${command} --host 0.0.0.0${portFlag}`
  const intro = 'Only this machine can open it. To let other devices in, end it and start it with'
  const isRuled = checkReach({ ...config, host: '0.0.0.0' }).length === 0
  if (isRuled) return [`${intro} --host 0.0.0.0 added.`]
  const [address] = addressesBeyondLoopback('0.0.0.0', interfaces)
  const pages = [url, ...(address === undefined ? [] : [urlAt(url, address)])].map(
    (each) => new URL(each).origin,
  )
  return [
    intro,
    `${start} --open`,
    'or, for nobody but the pages of this node, with',
    `${start} --origins ${pages.join(',')}`,
  ]
}

async function drain(server: PeerageServer, drainMs: number, log: Logger): Promise<ExitCode> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), drainMs)
  })
  const result = await Promise.race([server.drain().then(() => 'drained' as const), late])
  clearTimeout(timer)
  if (result === 'drained') {
    log.info('stopped')
    return 0
  }
  log.error({ drainMs }, 'the drain took too long: the remaining connections are cut')
  return 1
}
