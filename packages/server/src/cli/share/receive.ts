import { codeWords, folderStore, streamStore } from '@peerage/client/transfer'
import { reasonOf } from '../../lib/reason.js'
import type { ExitCode, Surroundings } from '../surroundings.js'
import { createAsker, type Asker } from './ask.js'
import { NoServer, openConnection, type Connection } from './connection.js'
import { askDestination, parseDestination, type Destination } from './destination.js'
import { passwordOf, serverOf, tokenOf, WrongUsage, type ReceiveFlags } from './options.js'
import { ticketFile } from './ticket.js'
import { createOutput, type Output } from './output.js'
import { receiveFrom, type Ending } from './receiving.js'
import { trackStore } from './tracked-store.js'

/** Receives what a link or a code offers, and resolves with the exit code. */
export async function receive(
  text: string | undefined,
  flags: ReceiveFlags,
  surroundings: Surroundings,
  open = openConnection,
): Promise<ExitCode> {
  const { streams, terminated } = surroundings
  // With `--to -`, standard output carries the file.
  const out = isStream(flags) ? surroundings.err : surroundings.out
  const output = createOutput({ out, streams }, flags.json === true, 'receive')
  const fail = (message: string, code: ExitCode): ExitCode => {
    output.tell({ event: 'error', message })
    return code
  }
  try {
    const asker = flags.json === true ? undefined : createAsker(streams, terminated)
    if (asker === undefined && flags.yes !== true)
      throw new WrongUsage('there is no terminal to ask at: --yes accepts all files')
    const destination = await findDestination(text, asker, output)
    if (destination === undefined) return 3
    const page = flags.server === undefined ? destination.page : undefined
    const tracked = trackStore(
      isStream(flags) ? streamStore(streams.stdout) : folderStore(flags.to, { overwrite: flags.overwrite }),
    )
    const connection = await open({
      server: page ?? serverOf(flags, surroundings),
      token: tokenOf(flags, surroundings),
      store: tracked.store,
      signal: terminated,
      tell: output.tell,
    })
    let ending: Ending | undefined
    try {
      ending = await tryPasswords(connection, destination, { flags, surroundings, asker, output })
    } finally {
      await (ending?.why === 'interrupted' ? connection.leave() : connection.close())
      await tracked.close()
    }
    const { code } = ending
    const hints = [
      ...(tracked.hasExisting() ? ['To replace what exists: --overwrite'] : []),
      ...(code !== 0 && tracked.hasParts() ? [howToGoOn(text, flags, surroundings)] : []),
    ]
    output.tell({ event: 'end', code, message: [ending.message, ...hints].filter(Boolean).join('\n') })
    return code
  } catch (error) {
    if (terminated.aborted) return 3
    if (error instanceof WrongUsage) return fail(error.message, 2)
    if (error instanceof NoServer) return fail(error.message, 1)
    if (error instanceof Error && 'code' in error) return fail(reasonOf(error), 1)
    throw error
  }
}

const isStream = ({ to }: ReceiveFlags): boolean => to === '-'

async function findDestination(
  text: string | undefined,
  asker: Asker | undefined,
  output: Output,
): Promise<Destination | undefined> {
  const words = await codeWords()
  if (text !== undefined) return parseDestination(text, words)
  if (asker === undefined) throw new WrongUsage('say what to receive: a link or a code')
  return askDestination(asker, words, output.say)
}

interface Receiving {
  flags: ReceiveFlags
  surroundings: Surroundings
  asker: Asker | undefined
  output: Output
}

/** A person at a terminal may try another password. */
async function tryPasswords(
  connection: Connection,
  { where, needsPassword }: Destination,
  receiving: Receiving,
): Promise<Ending> {
  const { flags, surroundings, asker, output } = receiving
  const warn = (message: string): void => output.tell({ event: 'warning', message })
  let password = await passwordOf(flags, surroundings, asker)
  let isNeeded = needsPassword && password === undefined
  const tickets =
    isStream(flags) || typeof where === 'string' ? undefined : ticketFile(flags.to, where.fragment, warn)
  const ticket = await tickets?.read()
  let saving = Promise.resolve()
  for (;;) {
    if (isNeeded) {
      password = await asker?.ask('Password of the share: ', { isHidden: true })
      if (password === undefined)
        return {
          code: asker === undefined ? 4 : 3,
          why: 'other',
          message: 'The share has a password: --password',
        }
    }
    const ending = await receiveFrom(connection.join(where, { password, ticket }), {
      isYes: flags.yes === true,
      isStream: isStream(flags),
      asker,
      output,
      terminated: surroundings.terminated,
      onTicket: (ticket) => {
        saving = saving.then(() => tickets?.write(ticket))
      },
    })
    await saving
    if (ending.why !== 'interrupted') await tickets?.remove()
    isNeeded = ending.why === 'wrong-password'
    if (!isNeeded || asker === undefined || surroundings.terminated.aborted) return ending
    output.say('That is not the password.')
  }
}

/** A code serves once, so only a link can be used again. */
function howToGoOn(text: string | undefined, { to }: ReceiveFlags, { startedAs }: Surroundings): string {
  const quoted = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`
  const isLink = text?.includes('#') === true
  const where = isLink ? quoted(text) : 'LINK-OR-NEW-CODE'
  const folder = to === '.' ? '' : ` --to ${quoted(to)}`
  return [
    'What has arrived is kept as NAME.part. While the sender still shares, this goes on with it:',
    `  ${startedAs.program} receive ${where}${folder}`,
  ].join('\n')
}
