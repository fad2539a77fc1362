import type { AnonymousSession, PoolSize } from '@peerage/core'
import { RegistryUnavailable, memberLimits } from '@peerage/core'
import type { RoomId } from '@peerage/protocol'
import { errorTexts, roomIdOf } from '@peerage/protocol'
import { allows } from '../../access/grants.js'
import type { WebTorrentConnection } from './connection.js'
import type { WebTorrentGatewayOptions } from './options.js'
import type { Place, Swarm, TrackerFrame } from './wire.js'
import {
  decodeTrackerFrame,
  encodeFailure,
  encodeOffer,
  encodeReply,
  encodeScrape,
  encodeScrapeFailure,
  encodeWarning,
} from './wire.js'

type Frame<T extends TrackerFrame['type']> = Extract<TrackerFrame, { type: T }>
/** A frame that needs the registry. */
type Request = Exclude<TrackerFrame, { type: 'malformed' }>

export interface SwarmsOptions extends Pick<
  WebTorrentGatewayOptions,
  'node' | 'clock' | 'metrics' | 'onError' | 'intervalMs'
> {
  /** From 0 up to 1. */
  random?: () => number
}

const WIRE = 'webtorrent'
/** Each interval is up to this share shorter or longer, so that members that came together do not stay together. */
const INTERVAL_SPREAD = 0.1
/** A newcomer announces again after this time, and then later and later. So a lost offer or answer is soon replaced. */
const FIRST_MS = 15_000
/** The interval grows by this many times the age. So a membership of ten minutes has a quarter more announces. */
const GROWTH = 3
/** In a larger swarm it is enough that some of the offers arrive. */
const SMALL_SWARM = 50
/** A member that is silent for this many intervals has left: one announce may be lost. */
const SILENT_INTERVALS = 2.5
/** trystero announces a room that it is not active in this often, whatever the interval. */
const DORMANT_MS = 120_000
/** The reference server tells clients to scrape five times less often than to announce. */
const SCRAPE_INTERVALS = 5
/** After an announce that failed for now, the member shall announce again within twice this time. */
const RETRY_MS = 10_000
/** The length of all frames of this node that wait for the registry. So a slow registry costs bounded memory. */
const MAX_WAITING = 32 * 1024 * 1024
/** What a frame costs while it waits, besides its text. */
const WAITING_COST = 1_024

/**
 * The swarms of all peers of a node. A swarm is a pool of the core. A member draws other members at random, and each of
 * them gets one of its offers.
 */
export class Swarms {
  readonly #options: SwarmsOptions
  readonly #random: () => number
  readonly #ttlMs: number
  #waiting = 0

  constructor(options: SwarmsOptions) {
    this.#options = options
    this.#random = options.random ?? Math.random
    this.#ttlMs = SILENT_INTERVALS * Math.max(options.intervalMs, DORMANT_MS)
  }

  receive(connection: WebTorrentConnection, session: AnonymousSession, text: string): void {
    const frame = decodeTrackerFrame(text)
    if (frame.type === 'malformed') {
      connection.write(frame.reply)
      return connection.malformed(frame.why)
    }
    if (!isGranted(connection, frame)) return this.#refuse(connection, frame, 'forbidden', text.length)
    const cost = text.length + WAITING_COST
    if (this.#waiting + cost > MAX_WAITING) return this.#refuse(connection, frame, 'overloaded', text.length)
    connection.app?.count(true)
    this.#waiting += cost
    void this.#handle(connection, session, frame, text.length).finally(() => (this.#waiting -= cost))
  }

  /** Never rejects. */
  async #handle(
    connection: WebTorrentConnection,
    session: AnonymousSession,
    frame: Request,
    bytes: number,
  ): Promise<void> {
    const { metrics, clock, onError } = this.#options
    const begunAt = clock.monotonic()
    try {
      switch (frame.type) {
        case 'announce':
          await this.#announce(connection, session, frame)
          break
        case 'stopped':
          await this.#stopped(connection, session, frame.place)
          break
        case 'answer':
          return await this.#answer(session, frame)
        case 'scrape':
          await this.#scrape(connection, session, frame.swarms)
      }
      metrics.routed(WIRE, 'room', 'forwarded', bytes, clock.monotonic() - begunAt)
    } catch (error) {
      if (!(error instanceof RegistryUnavailable)) onError(error, { stage: frame.type })
      this.#refuse(connection, frame, 'registry-unavailable', bytes)
    }
  }

  /** The reply comes first, as from the reference server. */
  async #announce(
    connection: WebTorrentConnection,
    session: AnonymousSession,
    { place, hasAll, offers, dropped }: Frame<'announce'>,
  ): Promise<void> {
    const { node, metrics } = this.#options
    if (dropped > 0) metrics.rejected(WIRE, 'bad-field')
    const pool = poolOf(session, place)
    const options = { marked: hasAll, draw: offers.length, ttlMs: this.#ttlMs }
    const entered = await node.pools.enter(session, pool, place.member, options)
    if (entered === 'parted') return
    if (entered === 'too-many') {
      metrics.rejected(WIRE, 'too-many')
      connection.write(encodeFailure(TOO_MANY, place.infoHash))
      return
    }
    this.#reply(connection, place, entered.size, entered.ageMs)
    for (const [index, member] of entered.drawn.entries()) {
      const offer = offers[index]
      if (offer === undefined) break
      const frame = encodeOffer(offer, place)
      node.pools.hand(pool, member, frame)
      metrics.routed(WIRE, 'signal', 'forwarded', frame.length)
    }
  }

  async #stopped(connection: WebTorrentConnection, session: AnonymousSession, place: Place): Promise<void> {
    const size = await this.#options.node.pools.leave(session, poolOf(session, place), place.member)
    this.#reply(connection, place, size, Number.POSITIVE_INFINITY)
  }

  async #answer(session: AnonymousSession, { place, to, frame }: Frame<'answer'>): Promise<void> {
    const { node, metrics } = this.#options
    const isHanded = await node.pools.handTo(poolOf(session, place), to, frame)
    metrics.routed(WIRE, 'signal', isHanded ? 'forwarded' : 'unavailable', frame.length)
  }

  async #scrape(connection: WebTorrentConnection, { app }: AnonymousSession, swarms: Swarm[]): Promise<void> {
    const { node, intervalMs } = this.#options
    const sizes = await node.pools.sizes(swarms.map(({ room }) => roomIdOf(app, room, WIRE)))
    connection.write(encodeScrape(swarms, sizes, intervalMs * SCRAPE_INTERVALS))
  }

  /** `ageMs`: how long the peer has been a member. */
  #reply(connection: WebTorrentConnection, place: Place, size: PoolSize, ageMs: number): void {
    const { intervalMs } = this.#options
    const ms = size.members > SMALL_SWARM ? intervalMs : Math.min(intervalMs, FIRST_MS + GROWTH * ageMs)
    connection.write(encodeReply(place, size, ms * (1 + INTERVAL_SPREAD * (2 * this.#random() - 1))))
  }

  /** Nobody is told of an answer that is not relayed, as on the reference server. */
  #refuse(
    connection: WebTorrentConnection,
    frame: Request,
    code: 'forbidden' | 'overloaded' | 'registry-unavailable',
    bytes: number,
  ): void {
    this.#options.metrics.routed(WIRE, frame.type === 'answer' ? 'signal' : 'room', code, bytes)
    if (code !== 'registry-unavailable') connection.app?.count(false)
    const text = errorTexts[code]
    if (frame.type === 'scrape') connection.write(encodeScrapeFailure(text))
    else if (frame.type !== 'answer')
      connection.write(
        code === 'forbidden'
          ? encodeFailure(text, frame.place.infoHash)
          : encodeWarning(frame.place, text, RETRY_MS * (1 + this.#random())),
      )
  }
}

const TOO_MANY =
  `at most ${memberLimits.pools} members a connection, and ${memberLimits.membershipsPerPool} of them in one swarm; ` +
  'the swarm or the node may be full, too; send stopped for others first'

/** Access rules name a swarm by the 40 hex digits of its info_hash. */
function isGranted(connection: WebTorrentConnection, frame: Request): boolean {
  const granted = connection.access?.rooms
  if (granted === undefined) return true
  if (frame.type === 'scrape') return frame.swarms.every(({ room }) => allows(granted, room))
  return allows(granted, frame.place.room)
}

function poolOf({ app }: AnonymousSession, { room }: Swarm): RoomId {
  return roomIdOf(app, room, WIRE)
}
