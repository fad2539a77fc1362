import { fileSources, folderStore, SourceError } from '@peerage/client/transfer'
import { reasonOf } from '../../lib/reason.js'
import type { ExitCode, Surroundings } from '../surroundings.js'
import { createAsker } from './ask.js'
import { NoServer, openConnection, type Connection } from './connection.js'
import { passwordOf, serverOf, tokenOf, WrongUsage, type SendFlags } from './options.js'
import { createOutput } from './output.js'
import { share } from './share.js'
import { spool, type Spool } from './spool.js'
import { parseDuration } from './words.js'

/** Shares files and a text by a link until the process is told to end. */
export async function send(
  paths: readonly string[],
  flags: SendFlags,
  surroundings: Surroundings,
  open = openConnection,
): Promise<ExitCode> {
  const output = createOutput(surroundings, flags.json === true, 'send')
  const fail = (message: string, code: ExitCode): ExitCode => {
    output.tell({ event: 'error', message })
    return code
  }
  let spooled: Spool | undefined
  let connection: Connection | undefined
  try {
    checkFlags(paths, flags)
    const page = serverOf(flags, surroundings)
    const password = await passwordOf(
      flags,
      surroundings,
      createAsker(surroundings.streams, surroundings.terminated),
    )
    if (paths.includes('-')) spooled = await spool(surroundings.streams.stdin, surroundings.terminated)
    const found = await fileSources(paths.map((path) => (path === '-' ? (spooled?.path ?? path) : path)))
    for (const one of found.skipped) output.tell({ event: 'skipped', ...one })
    if (found.sources.length === 0 && flags.text === undefined) return fail('there is no file to send', 2)
    connection = await open({
      server: page,
      token: tokenOf(flags, surroundings),
      // Guests may offer files, and none is accepted.
      store: folderStore('.'),
      signal: surroundings.terminated,
      tell: output.tell,
    })
    const { once: isOneTime } = flags
    const expiresAt =
      flags.expires === undefined ? undefined : Date.now() + (parseDuration(flags.expires) ?? 0)
    const host = connection.host({ password, isOneTime, expiresAt })
    return await share(host, { flags, surroundings, output, page, sources: found.sources })
  } catch (error) {
    if (surroundings.terminated.aborted) return 3
    if (error instanceof WrongUsage) return fail(error.message, 2)
    if (error instanceof SourceError) return fail(error.message, 2)
    if (error instanceof NoServer) return fail(error.message, 1)
    if (error instanceof Error && 'code' in error) return fail(reasonOf(error), 1)
    throw error
  } finally {
    await connection?.close()
    await spooled?.remove()
  }
}

function checkFlags(paths: readonly string[], { text, expires }: SendFlags): void {
  if (paths.length === 0 && text === undefined)
    throw new WrongUsage('say what to send: files, folders, - for standard input, or --text')
  if (text === '') throw new WrongUsage('--text is empty')
  if (paths.filter((path) => path === '-').length > 1) throw new WrongUsage('- is given twice')
  if (expires !== undefined && parseDuration(expires) === undefined)
    throw new WrongUsage(`--expires: ${expires} is no time such as 90s, 10m, 2h or 1d`)
}
