import type { Name } from '@peerage/protocol'
import type { Clock } from '../../lib/clock.js'
import type { Channel } from '../../p2p/channel/channel.js'
import type { Transfer } from '../engine/transfer.js'
import type { HandshakeContext, Line, SessionKeys } from '../keys/handshake.js'
import { refuse } from '../keys/messages.js'
import type { ShareSession } from '../sharing.js'
import type { SessionEnd } from '../types.js'
import type { Bye } from './control.js'
import type { Entrance } from './entrance.js'
import type { HostDoor } from './host-door.js'
import type { HostedGuests } from './hosted-guests.js'
import { isNotLoaded } from './lazy.js'
import { ServerLine } from './proof-line.js'
import type { ServerLink } from './server-link.js'

/** The part of a share that has to do with guests. */
export interface OpenRoom {
  readonly door: HostDoor
  readonly guests: HostedGuests
}

export interface HostRoomParts {
  clock: Clock
  entrance: Entrance
  onError: (error: unknown) => void
  /** Loads the code for sessions, and opens the room. */
  open: () => Promise<OpenRoom>
}

/**
 * Where the guests of a share come. Its code is loaded for the first guest, unless `load` of sharing has loaded it. Guests
 * that come meanwhile wait in the order in which they came, and the entrance has counted them before.
 */
export class HostRoom {
  readonly #parts: HostRoomParts
  #opening: Promise<OpenRoom> | undefined
  #room: OpenRoom | undefined

  constructor(parts: HostRoomParts) {
    this.#parts = parts
  }

  get sessions(): readonly ShareSession[] {
    return this.#room?.guests.sessions ?? []
  }

  /** The transfers of the sessions that have not ended. */
  get engines(): readonly Transfer[] {
    return this.#room?.guests.engines ?? []
  }

  /** Answers a guest's handshake over a channel. Undefined: the guest has not proven itself. */
  async answer(line: Line, context: HandshakeContext, from: Name): Promise<SessionKeys | undefined> {
    const leave = this.#parts.entrance.enter(from)
    if (leave === undefined) {
      await refuse(line, 'busy')
      return undefined
    }
    try {
      const room = await this.#openFor(() => line)
      return await room?.door.answer(line, context, from)
    } finally {
      leave()
    }
  }

  /** A guest begins a handshake through the server. False: it must wait, and costs nothing. */
  arrived(from: Name, open: () => ServerLink): boolean {
    const { entrance, onError } = this.#parts
    const leave = entrance.enter(from)
    if (leave === undefined) return false
    this.#serve(open(), from).catch(onError).finally(leave)
    return true
  }

  /** A channel has opened over which a guest has proven this session. */
  opened(channel: Channel, keys: SessionKeys): void {
    if (this.#room === undefined) void channel.close()
    else this.#room.door.opened(channel, keys)
  }

  /** A guest has proven itself at the name of a code. */
  know(guest: Name, keys: SessionKeys): void {
    this.#open().then(({ door }) => door.know(guest, keys), this.#parts.onError)
  }

  /** The terms of the share have changed. */
  tellTerms(): void {
    this.#room?.guests.tellTerms()
  }

  /** `detail`: what the host itself shows. */
  end(why: SessionEnd, detail?: string, bye?: Bye): void {
    this.#room?.guests.end(why, detail, bye)
  }

  /** Nobody gets in any more. */
  close(): void {
    this.#room?.door.close()
  }

  async #serve(link: ServerLink, from: Name): Promise<void> {
    // The line takes the guest's messages, so there is only one at a time.
    const room = await this.#openFor(() => new ServerLine(link, this.#parts.clock))
    if (room !== undefined) return room.door.serve(link, from)
    await link.flushed()
    link.close('the host cannot serve guests now')
  }

  /** Undefined: the code cannot be loaded, so the guest is told to come later. */
  async #openFor(line: () => Line): Promise<OpenRoom | undefined> {
    try {
      return await this.#open()
    } catch (error) {
      if (!isNotLoaded(error)) throw error
      this.#parts.onError(error)
      await refuse(line(), 'busy')
      return undefined
    }
  }

  /** If it fails, the next guest tries again. */
  #open(): Promise<OpenRoom> {
    this.#opening ??= this.#parts.open().then(
      (room) => (this.#room = room),
      (error: unknown) => {
        this.#opening = undefined
        throw error
      },
    )
    return this.#opening
  }
}
