import type { Name } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import { randomText } from '../../lib/base64.js'
import { systemClock } from '../../lib/clock.js'
import type { Clock, Timer } from '../../lib/clock.js'
import type { Channel } from '../../p2p/channel/channel.js'
import type { ConnectionEnd, Verify, VerifyLine } from '../../p2p/options.js'
import type { Peer } from '../../peer.js'
import type { SessionKeys } from '../keys/handshake.js'
import { refuse } from '../keys/messages.js'
import type {
  HostOptions,
  JoinOptions,
  ShareHost,
  ShareLink,
  ShareSession,
  Sharing,
  SharingOptions,
} from '../sharing.js'
import { Entrance } from './entrance.js'
import type { Guest } from './guest.js'
import { HostedShare } from './hosted-share.js'
import { isAnyShareLabel, isShareLabel } from './labels.js'
import { loadRest, sessionsModule } from './lazy.js'
import { contextOfChannel, untilRead } from './proof-line.js'
import { ServerPort } from './server-port.js'
import type { Sessions } from './sessions.js'

/** What there is once there is a peer. */
interface Started {
  peer: Peer
  name: Name
  port: ServerPort
  stops: (() => void)[]
  /** Undefined until the code for sessions is loaded. */
  sessions: Sessions | undefined
}

/** Who has proven what over a channel that is about to open. */
type Verified = { role: 'guest'; guest: Guest } | { role: 'host'; host: HostedShare; keys: SessionKeys }

const INSTANCE_BYTES = 16
/** How long `close` waits for the last messages. */
const CLOSE_MS = 10_000

/** The share and the sessions of one peer, and what arrives for them. */
export class SharingHub implements Sharing {
  readonly verify: Verify = (local, remote, line) => this.#verify(local, remote, line)
  readonly #options: SharingOptions
  readonly #clock: Clock
  readonly #instance = randomText(INSTANCE_BYTES)
  readonly #entrance: Entrance
  readonly #verified = new Map<string, Verified>()
  #host: HostedShare | undefined
  #started: Started | undefined

  constructor(options: SharingOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#entrance = new Entrance(this.#clock)
  }

  start(peer: Peer): void {
    if (this.#started !== undefined)
      throw new Error('this sharing was started already: make one for each peer')
    const name = parseName(peer.name)
    if (!name.ok) throw new Error(name.problem)
    const port = new ServerPort(
      peer,
      this.#clock,
      (from, open) => this.#host?.room.arrived(from, open) ?? false,
    )
    const started: Started = {
      peer,
      name: name.value,
      port,
      sessions: undefined,
      stops: [
        peer.on('state', ({ state }) => {
          if (state === 'closed') this.#end()
          if (state === 'online') started.sessions?.nudge()
        }),
        peer.p2p?.on('channel-opened', (channel) => this.#opened(channel)) ?? (() => undefined),
      ],
    }
    this.#started = started
  }

  async load(): Promise<void> {
    await Promise.all([sessionsModule(), loadRest(), this.#started?.peer.p2p?.load()])
  }

  host(options: HostOptions = {}): ShareHost {
    const { name } = this.#use()
    const { state } = this.#host ?? {}
    if (state !== undefined && state.name !== 'stopped')
      throw new Error('this peer shares already: `stop` that share first')
    const { connectAs, device = '' } = this.#options
    this.#host?.close()
    this.#host = new HostedShare(
      {
        name,
        clock: this.#clock,
        onError: (error) => this.#onError(error),
        entrance: this.#entrance,
        device,
        instance: this.#instance,
        connectAs,
        open: async (parts) => (await this.#sessions()).room(parts),
      },
      options,
    )
    return this.#host
  }

  async join(link: ShareLink, options: JoinOptions = {}): Promise<ShareSession> {
    return (await this.#sessions()).join({ kind: 'link', link }, options)
  }

  async joinCode(code: string, options: JoinOptions = {}): Promise<ShareSession> {
    return (await this.#sessions()).join({ kind: 'code', code }, options)
  }

  async close(): Promise<void> {
    const sessions = this.#started?.sessions
    this.#end()
    if (sessions === undefined) return
    let timer: Timer | undefined
    const late = new Promise<void>((resolve) => (timer = this.#clock.after(CLOSE_MS, resolve)))
    await Promise.race([sessions.told(), late])
    timer?.cancel()
  }

  /** Loads the code for sessions, if it is not there yet. */
  async #sessions(): Promise<Sessions> {
    const started = this.#use()
    if (started.sessions !== undefined) return started.sessions
    const { Sessions } = await sessionsModule()
    if (this.#started !== started) throw new Error('this side was closed')
    const { peer, port } = started
    started.sessions ??= new Sessions({
      options: this.#options,
      peer,
      port,
      clock: this.#clock,
      instance: this.#instance,
      onError: (error) => this.#onError(error),
    })
    return started.sessions
  }

  async #verify(local: ConnectionEnd, remote: ConnectionEnd, line: VerifyLine): Promise<boolean> {
    const [guest, host] = line.isCaller ? [local.name, remote.name] : [remote.name, local.name]
    if (!isShareLabel(line.label, guest, host)) return false
    const verified = await this.#prove(local, remote, line)
    if (verified === undefined || line.signal.aborted) return false
    const key = keyOf(remote.name, line.label)
    this.#verified.set(key, verified)
    // If the other side has doubts, no channel opens.
    line.signal.addEventListener('abort', () => {
      if (this.#verified.get(key) === verified) this.#verified.delete(key)
    })
    return true
  }

  async #prove(local: ConnectionEnd, remote: ConnectionEnd, line: VerifyLine): Promise<Verified | undefined> {
    const context = contextOfChannel(local, remote, line)
    if (line.isCaller) {
      const guest = this.#started?.sessions?.guestOf(remote.name)
      const isProven = await guest?.prove(line, context, line.label)
      return guest !== undefined && isProven === true ? { role: 'guest', guest } : undefined
    }
    const host = this.#host
    const keys = await (host === undefined
      ? refuse(line, 'busy')
      : host.room.answer(line, context, remote.name))
    if (host !== undefined && keys !== undefined) return { role: 'host', host, keys }
    await untilRead(line, this.#clock)
    return undefined
  }

  #opened(channel: Channel): void {
    if (!isAnyShareLabel(channel.label)) return
    const key = keyOf(channel.peer, channel.label)
    const verified = this.#verified.get(key)
    this.#verified.delete(key)
    switch (verified?.role) {
      case 'guest':
        return verified.guest.opened(channel)
      case 'host':
        return verified.host.room.opened(channel, verified.keys)
      case undefined:
        void channel.close()
    }
  }

  #use(): Started {
    if (this.#started === undefined) throw new Error('call `start` with the connected peer first')
    return this.#started
  }

  #end(): void {
    const { port, sessions, stops } = this.#started ?? {}
    this.#started = undefined
    this.#host?.close()
    this.#host = undefined
    sessions?.end()
    for (const stop of stops ?? []) stop()
    port?.close('this side was closed')
  }

  #onError(error: unknown): void {
    if (this.#options.onError === undefined) console.error(error)
    else this.#options.onError(error)
  }
}

const keyOf = (name: string, label: string): string => `${label} ${name}`
