import type { Config } from '../config/schema.js'
import { PortUnavailable } from '../http/listen.js'
import { createLogger, standardOutput, type Logger } from '../metrics/log.js'
import { PeerageServer, type Listening } from '../server.js'
import { UnusableFile } from '../config/tls-files.js'
import { reasonOf } from '../lib/reason.js'
import { toldToEnd, type ExitCode, type Surroundings } from './surroundings.js'

/** Runs one node until it is told to end. */
export async function serve(config: Config, surroundings: Surroundings): Promise<ExitCode> {
  const { err, isTerminal } = surroundings
  let server: PeerageServer | undefined
  const log = createLogger(config.log.level, standardOutput(), () =>
    server === undefined ? {} : { node: server.node.id },
  )
  let listening: Listening
  try {
    server = new PeerageServer({ config, log })
    listening = await server.listen()
  } catch (error) {
    await server?.stop()
    if (error instanceof PortUnavailable || error instanceof UnusableFile) err(`peerage: ${error.message}`)
    else throw error
    return error instanceof UnusableFile ? 2 : 1
  }
  const running = server
  surroundings.onHangup(() => running.readTlsAgain())
  log.info(listening, 'listening')
  if (isTerminal) err(`peerage: listening on ${listening.url}, getting ready …`)
  const ready = running.ready().then(
    () => announce(running, listening, log, surroundings),
    (error: unknown) => ({ failure: reasonOf(error) }),
  )
  const stop = toldToEnd(surroundings)
  const ended = await Promise.race([ready, stop])
  if (ended !== undefined) {
    err(`peerage: ${ended.failure}`)
    log.error({ error: ended.failure }, 'not started')
    await running.stop()
    return 1
  }
  await stop
  return drain(running, config.times.drainMs, log)
}

function announce(
  server: PeerageServer,
  listening: Listening,
  log: Logger,
  { err, isTerminal }: Surroundings,
): void {
  // A drain that began before it was ever ready.
  if (!server.readiness().ready) return
  log.info({ ...listening, links: server.linksAddress, node: server.node.id }, 'ready')
  if (isTerminal) err(`peerage: ready. Open ${listening.url} in a browser; Ctrl-C ends it.`)
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
  log.error({ drainMs }, 'the drain took too long; what was left is cut')
  return 1
}
