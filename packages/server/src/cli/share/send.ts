import { fileSources, folderStore, TEXT_LENGTH_MAX } from '@peerage/client/transfer'
import type { ExitCode, Surroundings } from '../surroundings.js'
import { createAsker } from './ask.js'
import { openConnection, type Connection } from './connection.js'
import { toItsEnd, type Finish } from './finish.js'
import { passwordOf, serverOf, tokenOf, WrongUsage, type SendFlags } from './options.js'
import { createOutput } from './output.js'
import { share, type Sending } from './share.js'
import { spool, type Spool } from './spool.js'
import { parseDuration } from './words.js'

/** Shares files and a text by a link until the process is told to end. */
export async function send(
  paths: readonly string[],
  flags: SendFlags,
  surroundings: Surroundings,
  open = openConnection,
): Promise<ExitCode> {
  const isJson = flags.json === true
  const output = createOutput(surroundings, isJson, 'send')
  return toItsEnd({ output, surroundings, isToldToStdout: isJson }, () =>
    run(paths, { flags, surroundings, output }, open),
  )
}

async function run(
  paths: readonly string[],
  { flags, surroundings, output }: Pick<Sending, 'flags' | 'surroundings' | 'output'>,
  open: typeof openConnection,
): Promise<Finish> {
  const { streams, terminated } = surroundings
  let spooled: Spool | undefined
  let connection: Connection | undefined
  try {
    checkFlags(paths, flags)
    const page = serverOf(flags, surroundings)
    const password = await passwordOf(flags, surroundings, createAsker(streams, terminated), true)
    if (paths.includes('-')) spooled = await spool(streams.stdin, terminated)
    const found = await fileSources(paths.map((path) => (path === '-' ? (spooled?.path ?? path) : path)))
    for (const one of found.skipped) output.tell({ event: 'skipped', ...one })
    if (found.sources.length === 0 && flags.text === undefined)
      throw new WrongUsage('there is no file to send')
    connection = await open({
      server: page,
      token: tokenOf(flags, surroundings),
      // Guests may offer files, and none is accepted.
      store: folderStore('.'),
      signal: terminated,
      tell: output.tell,
    })
    const { once: isOneTime } = flags
    const expiresAt =
      flags.expires === undefined ? undefined : Date.now() + (parseDuration(flags.expires) ?? 0)
    const host = connection.host({ password, isOneTime, expiresAt })
    return await share(host, { flags, surroundings, output, page, sources: found.sources })
  } finally {
    await connection?.close()
    await spooled?.remove()
  }
}

function checkFlags(paths: readonly string[], { text, expires }: SendFlags): void {
  if (paths.length === 0 && text === undefined)
    throw new WrongUsage('say what to send: files, folders, - for standard input, or --text')
  if (text === '') throw new WrongUsage('--text is empty')
  if (text !== undefined && text.length > TEXT_LENGTH_MAX)
    throw new WrongUsage(
      `--text has ${inDigits(text.length)} characters, and at most ${inDigits(TEXT_LENGTH_MAX)} are possible: send it as a file, or by - from standard input`,
    )
  if (paths.filter((path) => path === '-').length > 1) throw new WrongUsage('- is given twice')
  if (expires !== undefined && parseDuration(expires) === undefined)
    throw new WrongUsage(`--expires: ${expires} is no time such as 90s, 10m, 2h or 1d`)
}

const inDigits = (count: number): string => count.toLocaleString('en')
