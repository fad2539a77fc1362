import type { Name } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import { randomText } from '../../lib/base64.js'
import { systemClock } from '../../lib/clock.js'
import type { Clock, Timer } from '../../lib/clock.js'
import type { Channel } from '../../p2p/channel/channel.js'
import type { ConnectionEnd, Verify, VerifyLine } from '../../p2p/options.js'
import type { Peer } from '../../peer.js'
import { Transfer } from '../engine/transfer.js'
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
import { Guest } from './guest.js'
import type { Invitation } from './guest.js'
import type { HostedHooks } from './hosted-guests.js'
import { HostedShare } from './hosted-share.js'
import { CHANNELS_MAX, isAnyShareLabel, isShareLabel } from './labels.js'
import { BYTES_LEFT_MIN, RTT_MS_MIN } from './more-channels.js'
import { guestHandshake, hostHandshake } from './lazy.js'
import { LiveSession } from './live-session.js'
import type { SessionParts } from './live-session.js'
import { Presences } from './presences.js'
import { contextOfChannel, untilRead } from './proof-line.js'
import { ServerPort } from './server-port.js'

/** What the sessions share once there is a peer. */
interface Started {
  peer: Peer
  name: Name
  port: ServerPort
  presences: Presences
  stops: (() => void)[]
}

/** Who has proven what over a channel that is about to open. */
type Verified = { role: 'guest'; guest: Guest } | { role: 'host'; host: HostedShare; keys: SessionKeys }

/** What differs between the sessions of a host and of a guest. `share` is the id of the share, for the store. */
interface Opening extends Pick<
  SessionParts,
  'role' | 'peer' | 'link' | 'terms' | 'onLost' | 'onEnded' | 'onDropped'
> {
  share: () => string
}

const nothing = (): undefined => undefined
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
  readonly #guests = new Map<Name, Guest>()
  readonly #joining = new Set<Guest>()
  readonly #verified = new Map<string, Verified>()
  /** Sessions that have ended, and whose last messages are on their way. */
  readonly #closing = new Set<Promise<void>>()
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
      (from, open) => this.#host?.door.arrived(from, open) ?? false,
    )
    this.#started = {
      peer,
      name: name.value,
      port,
      presences: new Presences(peer, this.#clock),
      stops: [
        peer.on('state', ({ state }) => {
          if (state === 'closed') this.#end()
          if (state === 'online') for (const guest of this.#joining) guest.nudge()
        }),
        peer.p2p?.on('channel-opened', (channel) => this.#opened(channel)) ?? (() => undefined),
      ],
    }
    // The first guest, or the host of the first link, finds them loaded. If that fails, the attempt says so.
    for (const loading of [guestHandshake(), hostHandshake()]) loading.catch(() => undefined)
  }

  host(options: HostOptions = {}): ShareHost {
    const { name, port } = this.#use()
    const { state } = this.#host ?? {}
    if (state !== undefined && state.name !== 'stopped')
      throw new Error('this peer shares already: `stop` that share first')
    const { connectAs, device = '' } = this.#options
    this.#host?.close()
    this.#host = new HostedShare(
      {
        name,
        port,
        clock: this.#clock,
        onError: (error) => this.#onError(error),
        entrance: this.#entrance,
        device,
        instance: this.#instance,
        connectAs,
        open: (guest, share, hooks) => this.#hosted(guest, share, hooks),
      },
      options,
    )
    return this.#host
  }

  join(link: ShareLink, options: JoinOptions = {}): ShareSession {
    return this.#join({ kind: 'link', link }, options)
  }

  joinCode(code: string, options: JoinOptions = {}): ShareSession {
    return this.#join({ kind: 'code', code }, options)
  }

  async close(): Promise<void> {
    this.#end()
    if (this.#closing.size === 0) return
    let timer: Timer | undefined
    const late = new Promise<void>((resolve) => (timer = this.#clock.after(CLOSE_MS, resolve)))
    await Promise.race([Promise.all(this.#closing), late])
    timer?.cancel()
  }

  #join(invitation: Invitation, options: JoinOptions): ShareSession {
    const { port, presences } = this.#use()
    const { device = '', channels = 1, moreChannels } = this.#options
    const guest = new Guest({
      port,
      presences,
      clock: this.#clock,
      device,
      instance: this.#instance + randomText(INSTANCE_BYTES),
      channels: {
        count: Math.max(1, Math.min(CHANNELS_MAX, channels)),
        rttMs: moreChannels?.rttMs ?? RTT_MS_MIN,
        bytesLeft: moreChannels?.bytesLeft ?? BYTES_LEFT_MIN,
      },
      options,
      open: (peer, share, link, hooks) =>
        this.#session({ role: 'guest', peer, share, link, terms: undefined, onDropped: nothing, ...hooks })
          .session,
      named: (name, self) => {
        // The same link was opened again.
        this.#guests.get(name)?.session.end('closed-here', undefined, 'closed')
        this.#guests.set(name, self)
      },
      ended: (self) => {
        this.#joining.delete(self)
        if (self.name !== undefined && this.#guests.get(self.name) === self) this.#guests.delete(self.name)
      },
    })
    this.#joining.add(guest)
    void guest.begin(invitation)
    return guest.session
  }

  #hosted(guest: Name, share: string, hooks: HostedHooks): { engine: Transfer; session: LiveSession } {
    let unwatch = (): void => {}
    const made = this.#session({
      role: 'host',
      peer: () => ({ name: guest, device: '' }),
      share: () => share,
      link: nothing,
      ...hooks,
      onLost: nothing,
      onEnded: () => {
        unwatch()
        hooks.onEnded()
      },
    })
    unwatch = this.#use().presences.watch(guest, () => made.session.presenceChanged())
    return made
  }

  #session({ share, ...parts }: Opening): { engine: Transfer; session: LiveSession } {
    const { port, presences, peer: own } = this.#use()
    const { store } = this.#options
    const engine: Transfer = new Transfer({
      store,
      share,
      clock: this.#clock,
      onError: (error) => this.#onError(error),
      onBroken: (detail) => session.end('failed', detail, 'closed'),
    })
    const session: LiveSession = new LiveSession({
      engine,
      clock: this.#clock,
      onError: (error) => this.#onError(error),
      closing: (done) => {
        this.#closing.add(done)
        void done.then(() => this.#closing.delete(done))
      },
      serverBytesPerSecond: () => port.bytesPerSecond,
      isSelfOnline: () => own.state.state === 'online',
      isPeerAway: () => {
        const state = presences.of(parts.peer().name)
        return state !== undefined && state !== 'online'
      },
      ...parts,
    })
    return { engine, session }
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
      const guest = this.#guests.get(remote.name)
      const isProven = await guest?.prove(line, context, line.label)
      return guest !== undefined && isProven === true ? { role: 'guest', guest } : undefined
    }
    const host = this.#host
    const keys = await (host === undefined
      ? refuse(line, 'busy')
      : host.door.answer(line, context, remote.name))
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
        return verified.host.door.opened(channel, verified.keys)
      case undefined:
        void channel.close()
    }
  }

  #use(): Started {
    if (this.#started === undefined) throw new Error('call `start` with the connected peer first')
    return this.#started
  }

  #end(): void {
    for (const guest of this.#joining) guest.session.end('self-closed', undefined, 'closed')
    this.#host?.close()
    this.#host = undefined
    const { port, presences, stops } = this.#started ?? {}
    this.#started = undefined
    for (const stop of stops ?? []) stop()
    presences?.close()
    port?.close('this side was closed')
  }

  #onError(error: unknown): void {
    if (this.#options.onError === undefined) console.error(error)
    else this.#options.onError(error)
  }
}

const keyOf = (name: string, label: string): string => `${label} ${name}`
