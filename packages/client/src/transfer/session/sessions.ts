import type { Name } from '@peerage/protocol'
import { randomText } from '../../lib/base64.js'
import type { Clock } from '../../lib/clock.js'
import type { Peer } from '../../peer.js'
import { Transfer } from '../engine/transfer.js'
import type { JoinOptions, ShareSession, SharingOptions } from '../sharing.js'
import { Guest } from './guest.js'
import type { Invitation } from './guest.js'
import { HostDoor } from './host-door.js'
import type { DoorParts } from './host-door.js'
import type { OpenRoom } from './host-room.js'
import { HostedGuests } from './hosted-guests.js'
import type { GuestsParts, HostedHooks } from './hosted-guests.js'
import { CHANNELS_MAX } from './labels.js'
import { LiveSession } from './live-session.js'
import type { SessionParts } from './live-session.js'
import { BYTES_LEFT_MIN, RTT_MS_MIN } from './more-channels.js'
import { Presences } from './presences.js'
import type { ServerPort } from './server-port.js'

/** What differs between the sessions of a host and of a guest. `share` is the id of the share, for the store. */
interface Opening extends Pick<
  SessionParts,
  'role' | 'peer' | 'link' | 'terms' | 'onLost' | 'onEnded' | 'onDropped'
> {
  share: () => string
}

/** What the sessions with the guests of a share need of it. */
export interface RoomParts extends Omit<DoorParts, 'port' | 'clock' | 'onError' | 'refusal' | 'welcome'> {
  /** The id of the share, for the store. */
  share: string
  /** Why nobody new gets in. */
  refusal: () => 'stopped' | 'expired' | undefined
  guests: Omit<GuestsParts, 'open' | 'forget'>
}

export interface SessionsParts {
  options: SharingOptions
  peer: Peer
  port: ServerPort
  clock: Clock
  /** New at each load of the page. */
  instance: string
  onError: (error: unknown) => void
}

const nothing = (): undefined => undefined
const INSTANCE_BYTES = 16

/** All sessions of one peer. This and what it imports is the part of sharing that is loaded later. */
export class Sessions {
  readonly #parts: SessionsParts
  readonly #presences: Presences
  readonly #guests = new Map<Name, Guest>()
  readonly #joining = new Set<Guest>()
  /** Sessions that have ended, and whose last messages are on their way. */
  readonly #closing = new Set<Promise<void>>()

  constructor(parts: SessionsParts) {
    this.#parts = parts
    this.#presences = new Presences(parts.peer, parts.clock)
  }

  /** This peer as the guest of that host. */
  guestOf(host: Name): Guest | undefined {
    return this.#guests.get(host)
  }

  join(invitation: Invitation, options: JoinOptions): ShareSession {
    const { port, clock, instance } = this.#parts
    const { device = '', channels = 1, moreChannels } = this.#parts.options
    const guest = new Guest({
      port,
      presences: this.#presences,
      clock,
      device,
      instance: instance + randomText(INSTANCE_BYTES),
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

  /** Opens the part of a share that has to do with guests. */
  room({ share, refusal, guests, ...door }: RoomParts): OpenRoom {
    const { port, clock, onError } = this.#parts
    const hosted: HostedGuests = new HostedGuests({
      ...guests,
      open: (guest, hooks) => this.#hosted(guest, `${share}/${guest}`, hooks),
      forget: (session) => opened.door.forget(session),
    })
    const opened: OpenRoom = {
      guests: hosted,
      door: new HostDoor({
        ...door,
        port,
        clock,
        onError,
        refusal,
        welcome: (guest, hello) => {
          const refused = refusal()
          return refused === undefined ? hosted.welcome(guest, hello) : { refused }
        },
      }),
    }
    return opened
  }

  /** The server is back, so a connection may be possible now. */
  nudge(): void {
    for (const guest of this.#joining) guest.nudge()
  }

  /** Ends the sessions of this peer as a guest. */
  end(): void {
    for (const guest of this.#joining) guest.session.end('self-closed', undefined, 'closed')
    this.#presences.close()
  }

  /** Resolves when the other sides have the last messages. */
  async told(): Promise<void> {
    await Promise.all(this.#closing)
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
    unwatch = this.#presences.watch(guest, () => made.session.presenceChanged())
    return made
  }

  #session({ share, ...parts }: Opening): { engine: Transfer; session: LiveSession } {
    const { port, peer, clock, onError, options } = this.#parts
    const engine: Transfer = new Transfer({
      store: options.store,
      share,
      clock,
      onError,
      onBroken: (detail) => session.end('failed', detail, 'closed'),
    })
    const session: LiveSession = new LiveSession({
      engine,
      clock,
      onError,
      closing: (done) => {
        this.#closing.add(done)
        void done.then(() => this.#closing.delete(done))
      },
      serverBytesPerSecond: () => port.bytesPerSecond,
      isSelfOnline: () => peer.state.state === 'online',
      isPeerAway: () => {
        const state = this.#presences.of(parts.peer().name)
        return state !== undefined && state !== 'online'
      },
      ...parts,
    })
    return { engine, session }
  }
}
