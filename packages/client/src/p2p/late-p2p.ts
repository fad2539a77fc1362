import { unlessAborted } from '../lib/abort.js'
import { aText, check } from '../lib/check.js'
import { Emitter } from '../lib/emitter.js'
import { PeerageError } from '../lib/error.js'
import type { Channel } from './channel/channel.js'
import { P2P_EVENTS } from './controls.js'
import type { P2P, P2PEvents } from './controls.js'
import type { DiagnoseOptions, Diagnosis } from './diagnose.js'
import { CLOSED } from './options.js'
import type { ChannelOptions, P2PContext, P2POptions } from './options.js'
import type * as P2PModule from './p2p.js'

/** What it needs of the session. */
export interface LateContext extends P2PContext {
  /** Calls the listener when a signal arrives that waits. */
  onSignalWaits(listener: () => void): () => void
}

/**
 * The P2P controller while its code is not loaded, and the way to it afterwards (option `loadLater`). The signals of
 * other peers wait in the inbox, in order and within its bounds, because nobody listens for them yet [WD8]. The first one
 * loads the code.
 */
export class LateP2P implements P2P {
  readonly #context: LateContext
  readonly #setting: string | null | undefined
  readonly #options: P2POptions
  readonly #module: (signal: AbortSignal) => Promise<typeof P2PModule>
  readonly #events: Emitter<P2PEvents>
  readonly #closing = new AbortController()
  #loading: Promise<P2P> | undefined
  #controller: P2P | undefined

  constructor(
    context: LateContext,
    setting: string | null | undefined,
    options: P2POptions,
    module: (signal: AbortSignal) => Promise<typeof P2PModule>,
  ) {
    this.#context = context
    this.#setting = setting
    this.#options = options
    this.#module = module
    this.#events = new Emitter(P2P_EVENTS, (error) => context.onError(error, 'listener'))
    context.onClosed(() => this.#end())
    context.onSignalWaits(() => {
      if (!this.#closing.signal.aborted) this.#load().catch((error: unknown) => context.onError(error))
    })
  }

  get p2pServer(): string | null {
    return this.#setting ?? this.#context.welcome.p2p.server
  }

  set p2pServer(_address: string | null) {
    throw new Error('p2pServer cannot be changed after connecting: pass it to connect()')
  }

  get channels(): Channel[] {
    return this.#controller?.channels ?? []
  }

  channel(peer: string, label = ''): Channel | undefined {
    check('peer', peer, aText)
    check('label', label, aText)
    return this.#controller?.channel(peer, label)
  }

  busy(peer: string, label = ''): boolean | null {
    return this.channel(peer, label)?.busy ?? null
  }

  on<K extends keyof P2PEvents>(event: K, listener: (...args: P2PEvents[K]) => unknown): () => void {
    return this.#events.on(event, listener)
  }

  async connect(to: string, options?: ChannelOptions): Promise<Channel> {
    return (await unlessAborted(this.#load(), options?.signal)).connect(to, options)
  }

  async diagnose(options?: DiagnoseOptions): Promise<Diagnosis> {
    return (await unlessAborted(this.#load(), options?.signal)).diagnose(options)
  }

  async load(): Promise<void> {
    await this.#load()
  }

  async close(): Promise<void> {
    this.#end()
    await this.#controller?.close()
  }

  #end(): void {
    this.#closing.abort(new PeerageError('closed', CLOSED))
  }

  /** If it fails, the next call tries again. */
  #load(): Promise<P2P> {
    this.#loading ??= this.#begin().catch((error: unknown) => {
      this.#loading = undefined
      throw error
    })
    return this.#loading
  }

  async #begin(): Promise<P2P> {
    const { signal } = this.#closing
    signal.throwIfAborted()
    const { makeP2P } = await this.#module(signal)
    signal.throwIfAborted()
    const controller = makeP2P(this.#context, this.#setting, this.#options)
    this.#controller = controller
    const events = this.#events
    controller.on('channel-opened', (channel) => events.emit('channel-opened', channel))
    controller.on('channel-closed', (channel, reason) => events.emit('channel-closed', channel, reason))
    controller.on('connect-failed', (error) => events.emit('connect-failed', error))
    controller.on('all-channels-closed', () => events.emit('all-channels-closed'))
    controller.on('outcome', (outcome) => events.emit('outcome', outcome))
    return controller
  }
}
