import type {
  OfferedFile,
  SessionEnd,
  ShareSession,
  TransferFile,
  Unstorable,
} from '@peerage/client/transfer'
import type { ExitCode } from '../surroundings.js'
import type { Asker } from './ask.js'
import { parseChoice } from './choice.js'
import { codeOfEnd, codeOfFiles, filesOf, isOver } from './ended.js'
import type { Output } from './output.js'
import { paced } from './paced.js'
import { watchSession } from './watch.js'
import { durationText, filesText, sizeText, visible } from './words.js'

// One session of `peerage receive`, from its beginning to its end.

/** Offers come in pages. After this time without another page, the person is asked. */
const SETTLE_MS = 300
/** After everything has arrived, the sender may offer more for this long. */
const LINGER_MS = 700
/** Of a long offer, the first files are listed. */
const LISTED_MAX = 20

export interface Ending {
  code: ExitCode
  why: SessionEnd | 'other'
  /** The sender still waits for this receiver, so a later try can go on. */
  isOpen: boolean
  /** The share is for one receiver, and this is that receiver. */
  hasTaken: boolean
  message: string
}

/** Finds the files that cannot be stored. */
export type Check = (files: readonly TransferFile[]) => Promise<readonly Unstorable[]>

interface Parts {
  /** Accept everything. */
  isYes: boolean
  /** Only one file fits. */
  isStream: boolean
  /** Called before files are accepted, with those that are being received and then those that are new. */
  check: Check
  /** Undefined: nobody can be asked. */
  asker: Asker | undefined
  output: Output
  terminated: AbortSignal
  /** Keeps what a later try needs to come back to a share for one receiver. */
  keepTicket: (ticket: string) => Promise<void>
}

export function receiveFrom(session: ShareSession, parts: Parts): Promise<Ending> {
  return new Promise((resolve, reject) => new Receiver(session, parts, resolve, reject).start())
}

class Receiver {
  readonly #session: ShareSession
  readonly #parts: Parts
  readonly #resolve: (ending: Ending) => void
  readonly #reject: (error: unknown) => void
  readonly #stops: (() => void)[] = []
  readonly #decided = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #timerFor = ''
  /** While a person is asked, or the disk, nothing else is decided. */
  #isAsking = false
  #hasAccepted = false
  #isOver = false

  constructor(
    session: ShareSession,
    parts: Parts,
    resolve: (ending: Ending) => void,
    reject: (error: unknown) => void,
  ) {
    this.#session = session
    this.#parts = parts
    this.#resolve = resolve
    this.#reject = reject
  }

  start(): void {
    const { terminated, output } = this.#parts
    const { ask: step, stop } = paced(() => this.#step())
    const interrupted = (): void => this.#interrupted()
    this.#stops.push(
      watchSession(this.#session, output.tell),
      this.#session.onChange(step),
      this.#session.transfer.onChange(step),
      stop,
      () => terminated.removeEventListener('abort', interrupted),
    )
    terminated.addEventListener('abort', interrupted, { once: true })
    if (terminated.aborted) interrupted()
    else step()
  }

  #step(): void {
    if (this.#isOver) return
    const { state, consent } = this.#session
    if (!this.#isAsking) this.#parts.output.draw([this.#session])
    if (state.name === 'ended') return this.#ended(state.why, state.detail)
    if (this.#isAsking) return
    if (consent === 'asked') return this.#ask(() => this.#askConsent())
    const files = filesOf(this.#session, 'in')
    if (this.#offered().length > 0)
      return this.#after(SETTLE_MS, `${files.length} offered`, () => this.#decide())
    const hasText = this.#session.transfer.state.items.some(
      (item) => item.kind === 'text' && item.direction === 'in',
    )
    if ((files.length > 0 || hasText) && files.every(isOver))
      return this.#after(LINGER_MS, `${this.#session.transfer.state.items.length} over`, () => this.#done())
    this.#after(0, '', undefined)
  }

  /** Does `act` after a time in which `what` stays the same. */
  #after(ms: number, what: string, act: (() => void) | undefined): void {
    if (what === this.#timerFor) return
    clearTimeout(this.#timer)
    this.#timerFor = what
    if (act === undefined) return
    this.#timer = setTimeout(() => {
      this.#timerFor = ''
      act()
    }, ms)
  }

  #ask(question: () => Promise<void>): void {
    this.#isAsking = true
    this.#parts.output.draw([])
    question()
      .finally(() => (this.#isAsking = false))
      .then(() => this.#step(), this.#reject)
  }

  /** What nobody has decided about yet. */
  #offered(): TransferFile[] {
    const files = filesOf(this.#session, 'in')
    return files.filter(({ key, state }) => state.name === 'offered' && !this.#decided.has(key))
  }

  /** What cannot be stored of these files, beside those that are being received. */
  async #unstorable(files: readonly TransferFile[]): Promise<Map<OfferedFile, string>> {
    const pending = filesOf(this.#session, 'in').filter(
      (file) => file.state.name !== 'offered' && !isOver(file),
    )
    const problems = new Map<OfferedFile, string>()
    for (const { file, error } of await this.#parts.check([...pending, ...files]))
      problems.set(file, error.message)
    for (const file of pending) problems.delete(file)
    return problems
  }

  async #choose(offered: readonly TransferFile[], wanted: ReadonlySet<number>): Promise<void> {
    const { transfer } = this.#session
    const rejected = offered.filter((_, index) => !wanted.has(index))
    const chosen = offered.filter((_, index) => wanted.has(index))
    const problems = await this.#unstorable(chosen)
    if (this.#isLate) return
    for (const { key } of offered) this.#decided.add(key)
    const accepted = chosen.filter((file) => !problems.has(file))
    if (accepted.length === 0 && chosen.length > 0 && !this.#hasAccepted)
      return this.#refuse(chosen, problems)
    if (rejected.length > 0) transfer.reject(rejected.map(({ key }) => key))
    this.#leaveOut(chosen, problems)
    if (accepted.length === 0) return
    this.#hasAccepted = true
    // Before the Accept: whoever is killed right after it must be able to come back.
    const { guestTicket } = this.#session
    if (guestTicket !== undefined) await this.#parts.keepTicket(guestTicket)
    if (this.#isOver) return
    transfer.accept(accepted.map(({ key }) => key))
  }

  /** While a person or the disk was asked, everything may have ended. */
  get #isLate(): boolean {
    return this.#isOver || this.#session.state.name === 'ended'
  }

  /** Both sides show why these files are not received. */
  #leaveOut(files: readonly TransferFile[], problems: ReadonlyMap<OfferedFile, string>): void {
    for (const file of files) {
      const problem = problems.get(file)
      if (problem !== undefined) this.#session.transfer.reject([file.key], problem)
    }
  }

  /** Nothing can be stored, so nothing is accepted: a share for one receiver stays for a later try. */
  #refuse(files: readonly TransferFile[], problems: ReadonlyMap<OfferedFile, string>): void {
    this.#leaveOut(files, problems)
    this.#end({ code: 1, why: 'other', isOpen: false, message: 'Nothing was accepted.' })
  }

  #decide(): void {
    const offered = this.#offered()
    this.#list(offered)
    const { isYes, isStream, asker, output } = this.#parts
    if (!isYes && asker === undefined) {
      // Not rejected: a share for one receiver stays for a later try.
      output.tell({ event: 'error', message: 'there is no terminal to ask at: --yes accepts all files' })
      return this.#end({ code: 2, why: 'other', isOpen: false, message: '' })
    }
    if (isStream && filesOf(this.#session, 'in').length > 1) {
      this.#session.transfer.reject(offered.map(({ key }) => key))
      return this.#end({
        code: 2,
        why: 'other',
        isOpen: false,
        message: 'peerage: --to - takes one file, and several are offered',
      })
    }
    this.#ask(() => (isYes ? this.#choose(offered, new Set(offered.keys())) : this.#askFiles(offered)))
  }

  #list(offered: readonly TransferFile[]): void {
    const { say } = this.#parts.output
    const { device, name } = this.#session.peer
    say(`${visible(device) || visible(name)} offers:`)
    const width = String(offered.length).length
    for (const [index, { path, size }] of offered.slice(0, LISTED_MAX).entries())
      say(`  ${String(index + 1).padStart(width)}. ${visible(path)} (${sizeText(size)})`)
    if (offered.length > LISTED_MAX) say(`  and ${(offered.length - LISTED_MAX).toLocaleString('en')} more`)
  }

  async #askFiles(offered: readonly TransferFile[]): Promise<void> {
    const problems = await this.#unstorable(offered)
    if (this.#isLate) return
    for (const problem of [...problems.values()].slice(0, LISTED_MAX))
      this.#parts.output.say(`Cannot be stored here: ${visible(problem)}`)
    if (problems.size > LISTED_MAX)
      this.#parts.output.say(`And so cannot ${(problems.size - LISTED_MAX).toLocaleString('en')} more.`)
    if (problems.size === offered.length && !this.#hasAccepted) return this.#refuse(offered, problems)
    const bytes = offered.reduce((sum, { size }) => sum + size, 0)
    const numbers = offered.length > 1 ? ', or numbers such as 1,3-5' : ''
    const question = `${filesText(offered.length)}, ${sizeText(bytes)}. Accept? [Y/n${numbers}] `
    for (;;) {
      const answer = await this.#parts.asker?.ask(question)
      if (this.#isLate) return
      if (answer === undefined) return this.#interrupted()
      const chosen = parseChoice(answer, offered.length)
      if (chosen === undefined) {
        this.#parts.output.say(`Type y, n, or numbers from 1 to ${offered.length}.`)
        continue
      }
      return this.#choose(offered, new Set(chosen))
    }
  }

  async #askConsent(): Promise<void> {
    const { asker, isYes, output } = this.#parts
    const { bytes, bytesDone } = this.#session.transfer.state.in
    const rate = this.#session.serverBytesPerSecond
    const time = rate === undefined ? '' : `, about ${durationText((bytes - bytesDone) / rate)}`
    const what = `No direct connection was possible, so ${sizeText(bytes - bytesDone)} would go through the server${time}.`
    if (isYes) {
      output.say(what)
      return this.#session.answerConsent(true)
    }
    const answer = await asker?.ask(`${what} Go on? [Y/n] `)
    const isGiven = answer !== undefined && /^(?:y|yes|)$/i.test(answer.trim())
    if (isGiven) this.#session.answerConsent(true)
    else this.#interrupted()
  }

  #done(): void {
    const files = filesOf(this.#session, 'in')
    const code = codeOfFiles(files)
    const hasFailedHere = files.some(({ state }) => state.name === 'ended' && state.reason === 'error-here')
    // A share for one receiver is this receiver's, who may make room, or a name free, and come again.
    const isOpen = this.#session.state.name !== 'ended' && this.#session.hasTaken && hasFailedHere
    this.#end({ code, why: 'other', isOpen, message: '' })
  }

  /** The sender is not told, so that a later try finds the share as it is now. */
  #interrupted(): void {
    this.#end({ code: 3, why: 'other', isOpen: true, message: 'Ended before everything had arrived.' })
  }

  #ended(why: SessionEnd, detail: string): void {
    const files = filesOf(this.#session, 'in')
    const { items } = this.#session.transfer.state
    const hasAll =
      items.length > 0 &&
      files.every(
        ({ state }) => state.name === 'complete' || (state.name === 'ended' && state.reason === 'rejected'),
      )
    if (hasAll) return this.#done()
    this.#end({ code: codeOfEnd(why), why, isOpen: false, message: visible(detail) })
  }

  #end(end: Omit<Ending, 'hasTaken'>): void {
    if (this.#isOver) return
    const ending = { ...end, hasTaken: this.#session.hasTaken }
    this.#isOver = true
    clearTimeout(this.#timer)
    for (const stop of this.#stops) stop()
    this.#parts.output.draw([])
    if (!ending.isOpen) this.#session.close()
    this.#resolve(ending)
  }
}
