import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import type { Control } from '../transfer/engine/codec.js'
import { decodeControl, encodeControl } from '../transfer/engine/codec.js'
import { Transfer } from '../transfer/engine/transfer.js'
import type { Message, TransferFile, TransferText } from '../transfer/types.js'
import { fakeConduits } from './fake-conduit.js'
import type { FakeConduitOptions, FakeConduits } from './fake-conduit.js'
import { FakeSource, FakeStore, someBytes } from './fake-files.js'

export const MIB = 1_024 * 1_024

/** One transfer with a store of its own. */
export class FakePeer {
  readonly store: FakeStore
  readonly clock: FakeClock
  readonly transfer: Transfer
  readonly errors: unknown[] = []
  readonly broken: string[] = []

  constructor(clock: FakeClock, store = new FakeStore()) {
    this.clock = clock
    this.store = store
    this.transfer = new Transfer({
      store,
      share: 's',
      clock,
      onError: (error) => this.errors.push(error),
      onBroken: (detail) => this.broken.push(detail),
    })
  }

  files(direction?: 'in' | 'out'): TransferFile[] {
    return this.transfer.state.items.flatMap((item) =>
      item.kind === 'file' && (direction === undefined || item.direction === direction) ? [item] : [],
    )
  }

  texts(): TransferText[] {
    return this.transfer.state.items.flatMap((item) => (item.kind === 'text' ? [item] : []))
  }

  /** The states in short: `complete`, `ended: stopped`. */
  states(): string[] {
    return this.files().map(({ state }) => (state.name === 'ended' ? `ended: ${state.reason}` : state.name))
  }

  detail(index = 0): string {
    const state = this.files()[index]?.state
    return state?.name === 'ended' ? state.detail : ''
  }

  keys(): string[] {
    return this.files().map(({ key }) => key)
  }

  acceptAll(): void {
    this.transfer.accept(this.keys())
  }

  /** Offers files of these sizes. Returns their sources. */
  offer(...sizes: number[]): FakeSource[] {
    const sources = sizes.map((size, i) => new FakeSource(`files/${i}.bin`, someBytes(size, 100 * i + size)))
    this.transfer.offer(sources)
    return sources
  }
}

/** Two transfers and the conduits between them. */
export class FakePair {
  readonly clock = new FakeClock()
  a = new FakePeer(this.clock)
  b = new FakePeer(this.clock)
  conduits: FakeConduits | undefined
  /** The control messages of the last conduit. */
  said: Record<'a' | 'b', Control[]> = { a: [], b: [] }

  /** Attaches both to a new conduit. */
  async attach(options: FakeConduitOptions = {}): Promise<void> {
    this.conduits?.cut()
    this.said = { a: [], b: [] }
    const { said } = this
    this.conduits = fakeConduits({
      ...options,
      tap: (message, from) => {
        const decoded = typeof message === 'string' ? decodeControl(message) : undefined
        if (decoded?.kind === 'control') said[from].push(decoded.message)
        return options.tap === undefined ? message : options.tap(message, from)
      },
    })
    this.a.transfer.attach(this.conduits.a)
    this.b.transfer.attach(this.conduits.b)
    await settled()
  }

  cut(): void {
    this.conduits?.cut()
    this.a.transfer.detach()
    this.b.transfer.detach()
  }

  /** `a` offers files of these sizes, and `b` accepts them. */
  async send(...sizes: number[]): Promise<FakeSource[]> {
    const sources = this.a.offer(...sizes)
    await settled()
    this.b.acceptAll()
    await settled()
    return sources
  }

  get errors(): unknown[] {
    return [...this.a.errors, ...this.a.broken, ...this.b.errors, ...this.b.broken]
  }
}

/** The other end of a transfer, which says whatever a test wants. */
export class Puppet {
  readonly peer: FakePeer
  readonly heard: (Control | Uint8Array<ArrayBuffer>)[] = []
  readonly #conduits = fakeConduits({ messageBytesMax: 65_536 })

  constructor(clock = new FakeClock()) {
    this.peer = new FakePeer(clock)
    this.#conduits.b.onMessage((message) => {
      const decoded = typeof message === 'string' ? decodeControl(message) : undefined
      if (typeof message !== 'string') this.heard.push(message)
      else if (decoded?.kind === 'control') this.heard.push(decoded.message)
    })
    this.peer.transfer.attach(this.#conduits.a)
  }

  /** Says something, and waits until all that follows has happened. */
  async say(...messages: (Control | Message)[]): Promise<void> {
    for (const message of messages)
      this.#conduits.inject(
        'a',
        typeof message === 'string' || message instanceof Uint8Array ? message : encodeControl(message),
      )
    await settled()
  }

  /** What the transfer said, by its type. */
  all<T extends Control['type']>(type: T): Extract<Control, { type: T }>[] {
    return this.heard.filter(
      (one): one is Extract<Control, { type: T }> => !(one instanceof Uint8Array) && one.type === type,
    )
  }

  get parts(): Uint8Array<ArrayBuffer>[] {
    return this.heard.filter((one) => one instanceof Uint8Array)
  }
}
