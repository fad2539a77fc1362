import type { EndReason, ShareHost, ShareSession, Source } from '@peerage/client/transfer'
import { renderUnicodeCompact } from 'uqr'
import type { ExitCode, Surroundings } from '../surroundings.js'
import { isLoopback } from './connection.js'
import { codeOfFiles, filesOf } from './ended.js'
import type { Finish } from './finish.js'
import type { Output } from './output.js'
import type { SendFlags } from './options.js'
import { paced } from './paced.js'
import { watchSession } from './watch.js'
import { filesText, sizeText } from './words.js'

// A share of `peerage send`, from its link to its end.

/** After so many wrong codes the link is the only way in: somebody is guessing. */
const CODES_MAX = 10

export interface Sending {
  flags: SendFlags
  surroundings: Surroundings
  output: Output
  page: string
  sources: readonly Source[]
}

/** Offers everything, and resolves at the end of the share. */
export function share(host: ShareHost, sending: Sending): Promise<Finish> {
  host.add(sending.sources)
  tellLink(host.link(sending.page), host, sending)
  return new Promise((resolve) => new RunningShare(host, sending, resolve).start())
}

interface Guest {
  session: ShareSession
  /** Stops listening to it. */
  stop: () => void
  /** It opened the share when it was taken, so it is the one that had taken it. */
  cameBack: boolean
}

class RunningShare {
  readonly #host: ShareHost
  readonly #sending: Sending
  readonly #resolve: (finish: Finish) => void
  readonly #followCode: () => void
  readonly #guests = new Map<ShareSession, Guest>()
  #stopHost: () => void = () => {}
  #isLocked = false
  #isOver = false

  constructor(host: ShareHost, sending: Sending, resolve: (finish: Finish) => void) {
    this.#host = host
    this.#sending = sending
    this.#resolve = resolve
    this.#followCode = sending.flags.code ? followCodes(host, sending) : () => {}
  }

  start(): void {
    const { flags, surroundings } = this.#sending
    this.#stopHost = this.#host.onChange(this.#steps.ask)
    surroundings.terminated.addEventListener('abort', this.#interrupted, { once: true })
    if (surroundings.terminated.aborted) return this.#interrupted()
    if (flags.code) this.#host.newCode()
    this.#step()
  }

  readonly #steps = paced(() => {
    // A listener is called in the middle of a change, so everything is read afterwards.
    queueMicrotask(() => {
      if (!this.#isOver) this.#step()
    })
  })

  readonly #interrupted = (): void =>
    this.#end(this.#hasDelivered() ? 0 : 3, 'The link works no more. Goodbye.')

  #step(): void {
    const { flags, output, sources } = this.#sending
    this.#followCode()
    for (const session of this.#host.sessions) {
      if (!this.#guests.has(session)) this.#guests.set(session, this.#greet(session))
      refuseOffers(session, output)
    }
    this.#tellLocked()
    output.draw(this.#host.sessions)
    const code = flags.once === true ? outcome([...this.#guests.values()], sources.length) : undefined
    if (code !== undefined) return this.#end(code, code === 0 ? 'All was delivered.' : 'The share is over.')
    if (this.#host.state.name === 'stopped') this.#end(this.#hasDelivered() ? 0 : 1, 'The share has expired.')
  }

  #tellLocked(): void {
    const isLocked = this.#host.state.name === 'locked'
    if (isLocked && !this.#isLocked)
      this.#sending.output.tell({
        event: 'warning',
        message:
          'Too many wrong passwords were entered, so the link lets nobody new in. Whoever is in can go on. To share again, start anew.',
      })
    this.#isLocked = isLocked
  }

  #greet(session: ShareSession): Guest {
    const { flags, output } = this.#sending
    if (flags.text !== undefined) session.transfer.sendText(flags.text)
    const stops = [
      watchSession(session, output.tell),
      session.onChange(this.#steps.ask),
      session.transfer.onChange(this.#steps.ask),
    ]
    const stop = (): void => {
      for (const stop of stops) stop()
    }
    return { session, stop, cameBack: this.#host.state.name === 'taken' }
  }

  #hasDelivered(): boolean {
    return [...this.#guests.keys()].some(({ transfer }) =>
      transfer.state.items.some((item) =>
        item.kind === 'text' ? item.isDelivered : item.direction === 'out' && item.state.name === 'complete',
      ),
    )
  }

  #end(code: ExitCode, message: string): void {
    const { surroundings, output } = this.#sending
    this.#isOver = true
    this.#steps.stop()
    this.#stopHost()
    surroundings.terminated.removeEventListener('abort', this.#interrupted)
    for (const { stop } of this.#guests.values()) stop()
    output.draw([])
    this.#host.stop()
    this.#resolve({ code, message })
  }
}

/** A guest may offer files, too. This command only sends. */
function refuseOffers(session: ShareSession, { tell }: Output): void {
  const offered = filesOf(session, 'in').filter(({ state }) => state.name === 'offered')
  if (offered.length === 0) return
  session.transfer.reject(offered.map(({ key }) => key))
  const files = filesText(offered.length)
  tell({ event: 'warning', message: `A guest offers ${files}, which \`peerage send\` does not take.` })
}

/**
 * How a one-time share ended, or undefined if it goes on. A receiver that was killed may come back in another session, so
 * a session that is lost decides nothing while another one goes on.
 */
function outcome(guests: readonly Guest[], fileCount: number): ExitCode | undefined {
  const sessions = guests.filter((guest) => hasAnswered(guest, fileCount)).map(({ session }) => session)
  const done = sessions.find((session) => isDelivered(session, fileCount))
  if (done !== undefined) return codeOfFiles(filesOf(done, 'out'))
  const last = sessions.at(-1)
  if (last === undefined || sessions.some(({ state }) => state.name !== 'ended')) return undefined
  return codeOfFiles(filesOf(last, 'out'))
}

/**
 * Whether the guest has accepted or rejected files. One that left without an answer, or came too late, leaves the share
 * to others. Of a text alone, any guest is the receiver.
 */
const hasAnswered = ({ session, cameBack }: Guest, fileCount: number): boolean =>
  fileCount === 0 ||
  filesOf(session, 'out').some(({ state }) => {
    if (state.name !== 'ended') return state.name !== 'offered'
    if (state.reason === 'rejected') return true
    return state.reason !== 'taken-elsewhere' && (session.hasTaken || cameBack)
  })

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

function untilText({ once, expires }: SendFlags): string {
  const ends = [...(once === true ? ['one receiver has everything'] : []), 'Ctrl-C']
  return `until ${ends.join(' or ')}${expires === undefined ? '' : `, for ${expires} at most`}`
}

/** The same URL, with a place to fill in for the address of this machine. */
function pageOfOthers(page: string): string {
  const { protocol, port, pathname } = new URL(page)
  return `${protocol}//ADDRESS${port === '' ? '' : `:${port}`}${pathname === '/' ? '' : pathname}`
}

function tellLink(
  link: string,
  host: ShareHost,
  { flags, surroundings, output, page, sources }: Sending,
): void {
  const files = sources.map(({ info: { path, size } }) => ({ path, size }))
  const { expiresAt } = host
  output.tell({ event: 'share', link, files, ...(expiresAt !== undefined && { expiresAt }) })
  const bytes = files.reduce((sum, { size }) => sum + size, 0)
  const shared = [
    ...(files.length > 0 ? [`${filesText(files.length)}, ${sizeText(bytes)}`] : []),
    ...(flags.text === undefined ? [] : ['a text']),
  ].join(', and ')
  output.say(`Sharing ${shared}, ${untilText(flags)}. The link:`)
  output.out(link)
  if (isLoopback(page))
    output.say(
      `Only this machine can open this link. For others, use a server that they reach: --server ${pageOfOthers(page)}`,
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
        output.say(
          `Or say this code to one person, who enters it at ${page}${host.hasPassword ? ' and needs no password' : ''}`,
        )
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
