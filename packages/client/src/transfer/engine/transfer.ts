import { randomText } from '../../lib/base64.js'
import type { SharedFile, TransferControls } from '../sharing.js'
import type { Conduit, EndReason, Message, Source, Store, TransferState } from '../types.js'
import { Budget } from './budget.js'
import { Changes } from './changes.js'
import type { Control, OtherMessage } from './codec.js'
import type { Takers } from './dispatch.js'
import { dispatch } from './dispatch.js'
import { Incoming } from './incoming.js'
import { Items } from './items.js'
import { CONTROL_COST, CONTROL_RATE, MESSAGE_BYTES_MIN } from './limits.js'
import { Link } from './link.js'
import { Listeners } from './listeners.js'
import type { TransferOptions } from './options.js'
import { Outgoing } from './outgoing.js'
import { FileRecord } from './record.js'
import { inPages } from './side.js'
import type { TextRecord } from './texts.js'
import { Texts } from './texts.js'
import { Ticker } from './ticker.js'

/**
 * Files and texts between this peer and one other peer, in both directions. It outlives conduits: each `attach` goes on
 * with what is missing.
 * @example
 * const transfer = new Transfer({ store: memoryStore(100_000_000), share: 'a1b2', clock: systemClock, onError: console.error })
 * transfer.attach(conduit)
 * transfer.offer([blobSource(file)])
 */
export class Transfer implements TransferControls {
  readonly #options: TransferOptions
  readonly #changes: Changes
  readonly #incoming: Incoming
  readonly #outgoing: Outgoing
  readonly #texts: Texts
  readonly #items = new Items()
  readonly #takers: Takers
  /** Tells the other side, after an attach, whether this is the transfer that it knows. */
  readonly #run = randomText(12)
  #otherRun: string | undefined
  #link: Link | undefined
  /** What the control messages of the other side may cost. */
  #budget: Budget
  readonly #accepted: Listeners<undefined>
  readonly #others: Listeners<OtherMessage>
  #state: TransferState | undefined
  /** Deadlines and speeds. */
  readonly #ticker: Ticker
  #isClosed = false

  constructor(options: TransferOptions) {
    this.#options = options
    const { clock, share, onError } = options
    this.#changes = new Changes(clock, onError)
    this.#accepted = new Listeners(onError)
    this.#others = new Listeners(onError)
    this.#budget = new Budget(clock, CONTROL_RATE)
    const send = (message: Control): void => this.#link?.send(message)
    const side = {
      clock,
      partBytesMax: options.partBytesMax,
      send,
      onError,
      added: (file: FileRecord) => this.#added(file.key, file),
      changed: (isProgress: boolean) => this.#changed(isProgress),
      breach: (what: string) => this.#breach(what),
    }
    this.#incoming = new Incoming({ ...side, share: typeof share === 'string' ? () => share : share })
    this.#outgoing = new Outgoing(side)
    this.#texts = new Texts({
      clock,
      send,
      breach: side.breach,
      changed: (text, isNew) => (isNew ? this.#added(text.view.key, text) : this.#changed(false)),
    })
    const sides = [this.#incoming, this.#outgoing]
    this.#ticker = new Ticker(
      clock,
      () => sides.some(({ isBusy, sums }) => isBusy || sums.speed.perSecond > 0),
      () => {
        for (const one of sides) one.tick()
        this.#changed(true)
      },
    )
    this.#takers = {
      incoming: this.#incoming,
      outgoing: this.#outgoing,
      texts: this.#texts,
      begun: (run) => this.#begun(run),
      accepted: () => this.#accepted.tell(undefined),
      other: (message) => this.#others.tell(message),
    }
  }

  get state(): TransferState {
    return (this.#state ??= {
      items: this.#items.views,
      in: this.#incoming.sums.progress,
      out: this.#outgoing.sums.progress,
    })
  }

  /** The bytes that are wanted and not there yet, by direction. Unlike `state`, it costs nothing. */
  get bytesLeft(): { in: number; out: number } {
    return { in: this.#incoming.sums.bytesLeft, out: this.#outgoing.sums.bytesLeft }
  }

  /** The most that was held for the receiver, and that its unfinished blocks took, in bytes. */
  get mostInMemory(): { held: number; assembled: number } {
    return this.#incoming.credit.most
  }

  onChange(listener: () => void): () => void {
    return this.#changes.listen(listener)
  }

  /** Calls the listener each time the other side has accepted at least one file. */
  onAccepted(listener: () => void): () => void {
    return this.#accepted.add(listener)
  }

  /**
   * Calls the listener for each control message whose type is not the engine's. Types of the engine: `begin`, `offer`,
   * `accept`, `reject`, `done`, `need`, `kept`, `grant`, `root`, `hashing`, `end`, `pause`, `text`, `got`.
   */
  onOther(listener: (message: OtherMessage) => void): () => void {
    return this.#others.add(listener)
  }

  /**
   * Goes on over this conduit. The one before is never listened to again. Files that were shared before must have been
   * offered with `offerShared` by now, because the other side may ask for them at once.
   * @throws RangeError if the conduit carries too little
   */
  attach(conduit: Conduit): void {
    if (conduit.messageBytesMax < MESSAGE_BYTES_MIN)
      throw new RangeError(
        `conduit.messageBytesMax: ${conduit.messageBytesMax}; must be at least ${MESSAGE_BYTES_MIN} bytes`,
      )
    if (this.#isClosed) return
    this.detach()
    const link = new Link(conduit, {
      take: (message) => this.#take(message),
      onClose: () => this.#lost(link),
      onFull: () => this.#breach('it reads nothing'),
    })
    this.#link = link
    this.#budget = new Budget(this.#options.clock, CONTROL_RATE)
    link.send({ type: 'begin', run: this.#run })
    this.#outgoing.attach(link)
    this.#incoming.attach()
    this.#ticker.wake()
  }

  /** The conduit is lost, or another one follows. */
  detach(): void {
    this.#link?.close()
  }

  /** Ends all unfinished files of both directions, and tells the other side if it can be reached. */
  end(reason: EndReason, detail: string): void {
    this.#outgoing.end(idsOf(this.#outgoing.records()), { reason, detail })
    this.#incoming.end(idsOf(this.#incoming.records()), { reason, detail })
  }

  /** True: lets no more bytes come for now, but for the 8 MiB that may be under way. */
  hold(isHeld: boolean): void {
    this.#incoming.hold(isHeld)
  }

  /** Offers files that have numbers already. A file without a source stands as paused until `provide`. */
  offerShared(files: readonly SharedFile[]): void {
    this.#outgoing.add(files)
  }

  /** Gives the source of a file that `offerShared` offered without one. */
  provide(id: number, source: Source): void {
    this.#outgoing.provide(id, source)
  }

  /** Ends shared files by their numbers, such as when the host stops sharing them. */
  endShared(ids: readonly number[], reason: EndReason, detail: string): void {
    this.#outgoing.end(ids, { reason, detail })
  }

  offer(sources: readonly Source[]): void {
    this.#outgoing.offer(sources)
  }

  accept(keys: readonly string[], store?: Store): void {
    this.#incoming.accept(idsOf(this.#records(keys, 'in')), store ?? this.#options.store)
    this.#ticker.wake()
  }

  reject(keys: readonly string[], problem?: string): void {
    const offered = this.#records(keys, 'in').filter(({ phase }) => phase.name === 'offered')
    const reason = problem === undefined ? 'rejected' : 'error-here'
    this.#incoming.end(idsOf(offered), { reason, detail: problem ?? 'not wanted' })
  }

  cancel(keys: readonly string[]): void {
    const ending = { reason: 'cancelled-here', detail: 'cancelled' } as const
    this.#outgoing.end(idsOf(this.#records(keys, 'out')), ending)
    this.#incoming.end(idsOf(this.#records(keys, 'in')), ending)
  }

  pause(keys?: readonly string[]): void {
    this.#pause(keys, true)
  }

  resume(keys?: readonly string[]): void {
    this.#pause(keys, false)
  }

  remove(keys: readonly string[]): void {
    for (const key of keys) {
      const item = this.#items.get(key)
      if (item instanceof FileRecord) {
        if (!item.isUnfinished) item.remove()
      } else if (item !== undefined) this.#texts.remove(item)
    }
    this.#items.forgetRemoved()
  }

  sendText(text: string): void {
    this.#texts.send(text)
  }

  /**
   * Ends everything on both sides. Blocks that a durable store has kept remain. Before a reload, call `detach` instead, so
   * that the other side waits.
   */
  close(): void {
    if (this.#isClosed) return
    this.end('self-offline', 'the program or the page was closed')
    this.#isClosed = true
    this.detach()
    this.#ticker.close()
    this.#changes.close()
    this.#accepted.clear()
    this.#others.clear()
  }

  #take(message: Message): void {
    const isOver = typeof message === 'string' && !this.#budget.take(CONTROL_COST + message.length)
    const wrong = isOver ? 'too many messages at once' : dispatch(message, this.#takers)
    if (wrong !== undefined) this.#breach(`it sent ${wrong}`)
  }

  /** The other side begins on this conduit. It tells all pauses again. */
  #begun(run: string): void {
    if (this.#link?.hasBegun !== false) return this.#breach('it began twice')
    this.#link.hasBegun = true
    const isNew = this.#otherRun !== undefined && this.#otherRun !== run
    if (isNew) this.#outgoing.reset()
    this.#otherRun = run
    this.#texts.begun(isNew)
    this.#incoming.paused(idsOf(this.#incoming.records()), false)
    this.#outgoing.paused(idsOf(this.#outgoing.records()), false)
  }

  #breach(what: string): void {
    const detail = `the other side broke the protocol: ${what}`
    this.end('error-there', detail)
    // Whatever else comes is not worth reading.
    this.detach()
    this.#options.onBroken?.(detail)
  }

  #lost(link: Link): void {
    if (this.#link !== link) return
    this.#link = undefined
    this.#outgoing.detach()
    this.#incoming.detach()
  }

  #pause(keys: readonly string[] | undefined, on: boolean): void {
    this.#tellPause('mine', this.#outgoing.pause(idsOf(this.#records(keys, 'out')), on), on)
    this.#tellPause('yours', this.#incoming.pause(idsOf(this.#records(keys, 'in')), on), on)
  }

  #tellPause(of: 'mine' | 'yours', ids: readonly number[], on: boolean): void {
    for (const files of inPages(ids)) this.#link?.send({ type: 'pause', of, files, on })
  }

  /** The files of one direction with these keys. Default: all. */
  #records(keys: readonly string[] | undefined, direction: 'in' | 'out'): FileRecord[] {
    if (keys !== undefined) return this.#items.files(keys, direction)
    return [...(direction === 'in' ? this.#incoming : this.#outgoing).records()]
  }

  #added(key: string, item: FileRecord | TextRecord): void {
    this.#items.add(key, item)
    this.#changed(false)
  }

  #changed(isProgress: boolean): void {
    this.#state = undefined
    this.#changes.changed(isProgress)
    this.#ticker.wake()
  }
}

const idsOf = (records: Iterable<FileRecord>): number[] => Array.from(records, ({ file }) => file.id)
