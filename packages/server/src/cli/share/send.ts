import {
  fileSources,
  folderStore,
  SourceError,
  type EndReason,
  type ShareHost,
  type ShareSession,
  type Source,
} from '@peerage/client/transfer'
import { renderUnicodeCompact } from 'uqr'
import { reasonOf } from '../../lib/reason.js'
import type { ExitCode, Surroundings } from '../surroundings.js'
import { createAsker } from './ask.js'
import { isLoopback, NoServer, openConnection, type Connection } from './connection.js'
import { codeOfFiles, filesOf } from './ended.js'
import { passwordOf, serverOf, tokenOf, WrongUsage, type CommonFlags } from './options.js'
import { createOutput, type Output } from './output.js'
import { spool, type Spool } from './spool.js'
import { watchSession } from './watch.js'
import { filesText, parseDuration, sizeText } from './words.js'

/** After so many wrong codes the link is the only way in: somebody is guessing. */
const CODES_MAX = 10

export interface SendFlags extends CommonFlags {
  text?: string
  once?: boolean
  expires?: string
  code: boolean
  qr: boolean
}

interface Sending {
  flags: SendFlags
  surroundings: Surroundings
  output: Output
  page: string
  sources: readonly Source[]
}

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
    await connection?.leave()
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

/** Offers everything, and resolves at the end of the share. */
async function share(host: ShareHost, sending: Sending): Promise<ExitCode> {
  const { flags, surroundings, output, page, sources } = sending
  host.add(sources)
  const link = host.link(page)
  tellLink(link, host, sending)
  const codes = flags.code ? followCodes(host, sending) : () => {}
  if (flags.code) host.newCode()
  const { terminated } = surroundings
  return new Promise((resolve) => {
    const guests = new Map<ShareSession, () => void>()
    const end = (code: ExitCode, message: string): void => {
      stop()
      terminated.removeEventListener('abort', interrupted)
      for (const unwatch of guests.values()) unwatch()
      output.draw([])
      host.stop()
      output.tell({ event: 'end', code, message })
      resolve(code)
    }
    const interrupted = (): void => end(delivered(guests.keys()) ? 0 : 3, 'The link works no more. Goodbye.')
    const step = (): void => {
      codes()
      for (const session of host.sessions) {
        if (!guests.has(session)) guests.set(session, greet(session))
        refuseOffers(session, output)
      }
      output.draw(host.sessions)
      const done = flags.once === true ? outcome(guests.keys(), sources.length) : undefined
      if (done !== undefined) return end(done, done === 0 ? 'All was delivered.' : 'The share is over.')
      if (host.state.name === 'stopped') end(delivered(guests.keys()) ? 0 : 1, 'The share has expired.')
    }
    const greet = (session: ShareSession): (() => void) => {
      if (flags.text !== undefined) session.transfer.sendText(flags.text)
      const unwatch = watchSession(session, output.tell)
      const stops = [session.onChange(later), session.transfer.onChange(later), unwatch]
      return () => {
        for (const stop of stops) stop()
      }
    }
    /** Listeners that are being called may add sessions, so all is read afterwards. */
    let isDue = false
    let isOver = false
    const later = (): void => {
      if (isDue) return
      isDue = true
      queueMicrotask(() => {
        isDue = false
        if (!isOver) step()
      })
    }
    const stopHost = host.onChange(later)
    const stop = (): void => {
      isOver = true
      stopHost()
    }
    terminated.addEventListener('abort', interrupted, { once: true })
    if (terminated.aborted) interrupted()
    else step()
  })
}

/** A guest may offer files, too. This command only sends. */
function refuseOffers(session: ShareSession, { tell }: Output): void {
  const offered = filesOf(session, 'in').filter(({ state }) => state.name === 'offered')
  if (offered.length === 0) return
  session.transfer.reject(offered.map(({ key }) => key))
  const files = filesText(offered.length)
  tell({ event: 'warning', message: `A guest offers ${files}, which \`peerage send\` does not take.` })
}

const delivered = (sessions: Iterable<ShareSession>): boolean =>
  [...sessions].some((session) =>
    session.transfer.state.items.some((item) =>
      item.kind === 'text' ? item.isDelivered : item.direction === 'out' && item.state.name === 'complete',
    ),
  )

/**
 * How a one-time share ended, or undefined if it goes on. A receiver that was killed may come back in another session, so
 * a session that is lost decides nothing while another one goes on.
 */
function outcome(all: Iterable<ShareSession>, fileCount: number): ExitCode | undefined {
  const sessions = [...all].filter((session) => hasAnswered(session, fileCount))
  const done = sessions.find((session) => isDelivered(session, fileCount))
  if (done !== undefined) return codeOfFiles(filesOf(done, 'out'))
  const last = sessions.at(-1)
  if (last === undefined || sessions.some(({ state }) => state.name !== 'ended')) return undefined
  return codeOfFiles(filesOf(last, 'out'))
}

/** Whether the guest has accepted or rejected files. Of a text alone, any guest is the receiver. */
const hasAnswered = (session: ShareSession, fileCount: number): boolean =>
  fileCount === 0 ||
  filesOf(session, 'out').some(
    ({ state }) =>
      state.name !== 'offered' && !(state.name === 'ended' && state.reason === 'taken-elsewhere'),
  )

/** Whether the guest has everything that it wants. */
function isDelivered(session: ShareSession, fileCount: number): boolean {
  const files = filesOf(session, 'out')
  const texts = session.transfer.state.items.filter((item) => item.kind === 'text')
  return (
    files.length >= fileCount &&
    files.every(
      ({ state }) => state.name === 'complete' || (state.name === 'ended' && isFinal(state.reason)),
    ) &&
    texts.every((text) => text.isDelivered) &&
    files.length + texts.length > 0
  )
}

/** After other reasons the receiver may accept the file again. */
const isFinal = (reason: EndReason): boolean =>
  /^(?:rejected|cancelled-|file-changed|stopped|error-here)/.test(reason)

function tellLink(
  link: string,
  host: ShareHost,
  { flags, surroundings, output, page, sources }: Sending,
): void {
  const files = sources.map(({ info: { path, size } }) => ({ path, size }))
  const { expiresAt } = host
  output.tell({ event: 'share', link, files, ...(expiresAt !== undefined && { expiresAt }) })
  const bytes = files.reduce((sum, { size }) => sum + size, 0)
  if (files.length > 0)
    output.say(`Sharing ${filesText(files.length)}, ${sizeText(bytes)}, until Ctrl-C. The link:`)
  else output.say('Sharing a text until Ctrl-C. The link:')
  output.out(link)
  if (isLoopback(page))
    output.say(
      'Only this machine can open this link. For others, use a server that they reach: --server http://ADDRESS:9000',
    )
  else if (flags.qr && surroundings.streams.stderr.isTTY === true)
    for (const line of renderUnicodeCompact(link, { border: 1 }).split('\n')) output.say(line)
  output.say(`In another terminal: ${surroundings.startedAs.program} receive '${link}'`)
}

/** Shows each new code once, and makes another one when it was used or burnt. */
function followCodes(host: ShareHost, { flags, output, page }: Sending): () => void {
  let shown = ''
  let burnt = 0
  return () => {
    const { code } = host
    const now = JSON.stringify(code)
    if (now === shown) return
    shown = now
    switch (code.name) {
      case 'none':
      case 'making':
        return
      case 'ready':
        output.tell({ event: 'code', code: code.code })
        output.say(`Or say this code to one person, who enters it at ${page}`)
        return output.out(code.code)
      case 'used':
        output.tell({ event: 'code-gone', why: 'used', detail: '' })
        if (flags.once !== true) host.newCode()
        return
      case 'burnt':
        output.tell({ event: 'code-gone', why: 'burnt', detail: '' })
        if (++burnt < CODES_MAX) host.newCode()
        else
          output.tell({
            event: 'warning',
            message: 'Too many wrong codes were entered, so there is no new one.',
          })
        return
      case 'failed':
        return output.tell({ event: 'code-gone', why: 'failed', detail: code.detail })
    }
  }
}
