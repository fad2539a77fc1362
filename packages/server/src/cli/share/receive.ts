import { codeWords, folderStore, streamStore, type Store } from '@peerage/client/transfer'
import type { ExitCode, Streams, Surroundings } from '../surroundings.js'
import { createAsker, type Asker } from './ask.js'
import { openConnection, type Connection } from './connection.js'
import { askDestination, parseDestination, type Destination } from './destination.js'
import { toItsEnd, type Finish } from './finish.js'
import { checkFolder } from './folder.js'
import { passwordOf, serverOf, tokenOf, WrongUsage, type ReceiveFlags } from './options.js'
import { ticketFile } from './ticket.js'
import { createOutput, type Output } from './output.js'
import { receiveFrom, type Check, type Ending } from './receiving.js'
import { trackStore } from './tracked-store.js'

/** Receives what a link or a code offers, and resolves with the exit code. */
export async function receive(
  text: string | undefined,
  flags: ReceiveFlags,
  surroundings: Surroundings,
  open = openConnection,
): Promise<ExitCode> {
  const { streams } = surroundings
  // With `--to -`, standard output carries the file.
  const out = isStream(flags) ? surroundings.err : surroundings.out
  const isJson = flags.json === true
  const output = createOutput({ out, streams }, isJson, 'receive')
  return toItsEnd({ output, surroundings, isToldToStdout: isJson && !isStream(flags) }, () =>
    run(text, { flags, surroundings, output }, open),
  )
}

async function run(
  text: string | undefined,
  { flags, surroundings, output }: Omit<Receiving, 'asker' | 'check'>,
  open: typeof openConnection,
): Promise<Finish> {
  const { streams, terminated } = surroundings
  const asker = flags.json === true ? undefined : createAsker(streams, terminated)
  const destination = await findDestination(text, asker, output)
  if (destination === undefined) return { code: 3, message: '' }
  const page = flags.server === undefined ? destination.page : undefined
  if (!isStream(flags)) await checkFolder(flags.to)
  const { store, check } = storeOf(flags, streams)
  const tracked = trackStore(store)
  const connection = await open({
    server: page ?? serverOf(flags, surroundings),
    token: tokenOf(flags, surroundings),
    store: tracked.store,
    signal: terminated,
    tell: output.tell,
  })
  let ending: Ending | undefined
  try {
    const receiving = { flags, surroundings, asker, output, check: tracked.noting(check) }
    ending = await tryPasswords(connection, destination, receiving)
  } finally {
    // What went to standard output cannot go on later.
    await (ending?.isOpen === true && !isStream(flags) ? connection.leave() : connection.close())
    await tracked.close()
  }
  const { code, message, isOpen } = ending
  const goesOn = code !== 0 && !isStream(flags) && (tracked.hasParts() || (isOpen && code === 1))
  const hints = [
    ...(tracked.hasExisting() && flags.overwrite !== true ? ['To replace what exists: --overwrite'] : []),
    ...(goesOn ? [howToGoOn(text, flags, surroundings)] : []),
  ]
  return { code, message: [message, ...hints].filter(Boolean).join('\n') }
}

/** `check` finds out what cannot be stored. */
function storeOf({ to, overwrite }: ReceiveFlags, { stdout }: Streams): { store: Store; check: Check } {
  if (to === '-') return { store: streamStore(stdout), check: () => Promise.resolve([]) }
  const store = folderStore(to, { overwrite })
  return { store, check: (files) => store.check(files) }
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
  check: Check
}

/** A person at a terminal may try another password. */
async function tryPasswords(
  connection: Connection,
  { where, needsPassword }: Destination,
  receiving: Receiving,
): Promise<Ending> {
  const { flags, surroundings, asker, output, check } = receiving
  const warn = (message: string): void => output.tell({ event: 'warning', message })
  let password = await passwordOf(flags, surroundings, asker)
  let isNeeded = needsPassword && password === undefined
  const tickets =
    isStream(flags) || typeof where === 'string' ? undefined : ticketFile(flags.to, where.fragment, warn)
  const ticket = await tickets?.read()
  for (;;) {
    if (isNeeded) {
      password = await asker?.ask('Password of the share: ', { isHidden: true })
      if (password === undefined)
        return {
          code: asker === undefined ? 4 : 3,
          why: 'other',
          isOpen: false,
          hasTaken: false,
          message: 'The share has a password: --password',
        }
    }
    const ending = await receiveFrom(await connection.join(where, { password, ticket }), {
      isYes: flags.yes === true,
      isStream: isStream(flags),
      check,
      asker,
      output,
      terminated: surroundings.terminated,
      keepTicket: async (ticket) => tickets?.write(ticket),
    })
    if (!ending.isOpen || !ending.hasTaken) await tickets?.remove()
    isNeeded = ending.why === 'wrong-password'
    if (!isNeeded || asker === undefined || surroundings.terminated.aborted) return ending
    output.say('That is not the password.')
  }
}

/** A code serves once, so only a link can be used again. */
function howToGoOn(text: string | undefined, flags: ReceiveFlags, { startedAs }: Surroundings): string {
  const quoted = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`
  const { to, yes, overwrite, server, passwordFile } = flags
  const words = [
    text?.includes('#') === true ? quoted(text) : 'LINK-OR-NEW-CODE',
    ...(to === '.' ? [] : ['--to', quoted(to)]),
    ...(yes === true ? ['--yes'] : []),
    ...(overwrite === true ? ['--overwrite'] : []),
    ...(server === undefined ? [] : ['--server', quoted(server)]),
    ...(passwordFile === undefined ? [] : ['--password-file', quoted(passwordFile)]),
  ]
  return [
    'What has arrived is kept. While the sender still shares, this goes on with it:',
    `  ${startedAs.program} receive ${words.join(' ')}`,
  ].join('\n')
}
