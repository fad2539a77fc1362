// The wire of WebTorrent's trackers, as bittorrent-tracker 11.x speaks it: JSON objects in text frames. Only this file
// knows its fields. SPEC: packages/server/SPEC.md, rules WT1 to WT14.

import type { PoolSize } from '@peerage/core'
import type { Room } from '@peerage/protocol'
import { parseRoom } from '@peerage/protocol'
import { itemsAt, valueAt, valueEnd } from './json-slices.js'

/** How many offers of one announce are relayed. The reference server relays as many. */
export const MAX_OFFERS = 82
/** How many swarms one scrape may name. */
export const MAX_SCRAPED = 64

/** A swarm: `info_hash` as the 20 characters that the client sent, and the room that stands for it: 40 hex digits. */
export interface Swarm {
  infoHash: string
  room: Room
}

/** A member of a swarm: `peer_id` as the 20 characters that the client sent, and 40 hex digits. */
export interface Place extends Swarm {
  peerId: string
  member: string
}

/** An offer as JSON texts. */
export interface Offer {
  sdp: string
  id: string
}

/** One frame of a peer. */
export type TrackerFrame =
  /** The peer is in the swarm. `hasAll`: it has the whole file. `dropped`: how many offers were not valid. */
  | { type: 'announce'; place: Place; hasAll: boolean; offers: Offer[]; dropped: number }
  /** The peer leaves the swarm. */
  | { type: 'stopped'; place: Place }
  /** An answer for the member `to`. `frame` is what that member gets. */
  | { type: 'answer'; place: Place; to: string; frame: string }
  /** The peer asks how many members these swarms have. Each comes once. */
  | { type: 'scrape'; swarms: Swarm[] }
  /** The frame makes no sense. `why` is a text for the log, and `reply` tells it to the peer. */
  | { type: 'malformed'; why: string; reply: string }

type Fields = Partial<Record<string, unknown>>

/** Decodes a frame of a peer. No text of a peer makes it throw. */
export function decodeTrackerFrame(text: string): TrackerFrame {
  const fields = parsed(text)
  if (fields === undefined) return malformed('the frame must be a JSON object')
  switch (fields.action) {
    case 'announce':
      return decodeAnnounce(text, fields)
    case 'scrape':
      return decodeScrape(fields.info_hash)
    default:
      return malformed('the action must be announce or scrape', bytesOf(fields.info_hash))
  }
}

function parsed(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function malformed(why: string, infoHash = ''): TrackerFrame {
  return { type: 'malformed', why, reply: encodeFailure(why, infoHash) }
}

/** `started`, `paused` and `update` say only that the peer is there. No event, or an empty one, says the same. */
const EVENTS: ReadonlySet<unknown> = new Set([
  undefined,
  null,
  '',
  'empty',
  'started',
  'update',
  'paused',
  'completed',
  'stopped',
])

const NOT_20_BYTES = 'it must be 20 characters, each of them a byte'

function decodeAnnounce(text: string, fields: Fields): TrackerFrame {
  const { event, answer, left } = fields
  const swarm = swarmOf(fields.info_hash)
  if (swarm === undefined) return malformed(`invalid info_hash: ${NOT_20_BYTES}`)
  const peerId = bytesOf(fields.peer_id)
  if (peerId === undefined) return malformed(`invalid peer_id: ${NOT_20_BYTES}`, swarm.infoHash)
  const place = { ...swarm, peerId, member: hexOf(peerId) }
  if (answer !== undefined && answer !== null) return decodeAnswer(text, fields, place)
  if (!EVENTS.has(event)) return malformed('invalid event', swarm.infoHash)
  if (event === 'stopped') return { type: 'stopped', place }
  const hasAll = event === 'completed' || left === 0
  return { type: 'announce', place, hasAll, ...offersOf(text, fields.offers) }
}

const NO_ANSWER = 'invalid answer: it must be {"type":"answer","sdp":"…"}, and have the offer_id of the offer'

function decodeAnswer(
  text: string,
  { answer, offer_id: offerId, to_peer_id: asked }: Fields,
  place: Place,
): TrackerFrame {
  const to = bytesOf(asked)
  if (to === undefined) return malformed(`invalid to_peer_id: ${NOT_20_BYTES}`, place.infoHash)
  if (!isDescription(answer, 'answer') || !isOfferId(offerId)) return malformed(NO_ANSWER, place.infoHash)
  const sdp = sdpText(text, valueAt(text, text.indexOf('{'), 'answer'))
  const frame = `{"action":"announce","answer":{"type":"answer","sdp":${sdp}},${idsOf(JSON.stringify(offerId), place)}}`
  return { type: 'answer', place, to: hexOf(to), frame }
}

/**
 * Finds the texts of the valid offers. A session description keeps the text that the sender wrote, because to write it
 * out again would take longer than to parse the whole frame.
 */
function offersOf(text: string, offers: unknown): { offers: Offer[]; dropped: number } {
  const found: Offer[] = []
  if (!Array.isArray(offers) || offers.length === 0) return { offers: found, dropped: 0 }
  const items: readonly unknown[] = offers
  const starts = itemsAt(text, valueAt(text, text.indexOf('{'), 'offers'))
  let dropped = 0
  for (const item of items) {
    const start = starts.next().value
    if (found.length === MAX_OFFERS || start === undefined) break
    if (isObject(item) && isDescription(item.offer, 'offer') && isOfferId(item.offer_id))
      found.push({ sdp: sdpText(text, valueAt(text, start, 'offer')), id: JSON.stringify(item.offer_id) })
    else dropped++
  }
  return { offers: found, dropped }
}

/** `sdp` may be any text: trystero encrypts it. */
function isDescription(value: unknown, type: 'offer' | 'answer'): boolean {
  return isObject(value) && value.type === type && typeof value.sdp === 'string'
}

/** The wire says nothing about the ids of offers. Known clients make 20 characters. */
const MAX_OFFER_ID = 128

function isOfferId(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_OFFER_ID
}

/** The JSON text of the `sdp` of the description that begins at `start`. */
function sdpText(text: string, start: number): string {
  const at = valueAt(text, start, 'sdp')
  return text.slice(at, valueEnd(text, at))
}

function decodeScrape(asked: unknown): TrackerFrame {
  const hashes: readonly unknown[] = [asked ?? []].flat()
  const wrong = (why: string): TrackerFrame => ({ type: 'malformed', why, reply: encodeScrapeFailure(why) })
  if (hashes.length === 0) return wrong('name the swarms in info_hash: this tracker does not list them')
  if (hashes.length > MAX_SCRAPED) return wrong(`name at most ${MAX_SCRAPED} swarms in info_hash`)
  const swarms = new Map<string, Swarm>()
  for (const hash of hashes) {
    const swarm = swarmOf(hash)
    if (swarm === undefined) return wrong(`invalid info_hash: ${NOT_20_BYTES}`)
    swarms.set(swarm.infoHash, swarm)
  }
  return { type: 'scrape', swarms: [...swarms.values()] }
}

function swarmOf(value: unknown): Swarm | undefined {
  const infoHash = bytesOf(value)
  if (infoHash === undefined) return undefined
  const room = parseRoom(hexOf(infoHash))
  return room.ok ? { infoHash, room: room.value } : undefined
}

// eslint-disable-next-line no-control-regex
const BYTES = /^[\0-\xff]{20}$/

/** Returns the value if it is 20 bytes, one a character. */
function bytesOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.length === 20 && BYTES.test(value) ? value : undefined
}

function hexOf(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('hex')
}

/** What a member gets for an offer of another one. */
export function encodeOffer({ sdp, id }: Offer, from: Place): string {
  return `{"action":"announce","offer":{"type":"offer","sdp":${sdp}},${idsOf(id, from)}}`
}

function idsOf(offerId: string, { peerId, infoHash }: Place): string {
  return `"offer_id":${offerId},"peer_id":${JSON.stringify(peerId)},"info_hash":${JSON.stringify(infoHash)}`
}

/** The answer to an announce. The peer shall announce again after `intervalMs`. */
export function encodeReply({ infoHash }: Swarm, { members, marked }: PoolSize, intervalMs: number): string {
  return `{"action":"announce","interval":${secondsOf(intervalMs)},"complete":${marked},"incomplete":${members - marked},"info_hash":${JSON.stringify(infoHash)}}`
}

/** The wire has whole seconds, and a client ignores an interval of 0. */
function secondsOf(ms: number): number {
  return Math.max(1, Math.round(ms / 1_000))
}

/**
 * The peer's announce failed for now. A client takes the interval of a warning, so it comes back sooner than after a
 * failure.
 */
export function encodeWarning({ infoHash }: Swarm, text: string, intervalMs: number): string {
  return `{"action":"announce","warning message":${JSON.stringify(text)},"interval":${secondsOf(intervalMs)},"info_hash":${JSON.stringify(infoHash)}}`
}

/**
 * The peer's announce is refused. bittorrent-tracker closes its socket if a failure has no `action`, and throws if an
 * announce has no `info_hash`.
 */
export function encodeFailure(why: string, infoHash: string): string {
  return `{"action":"announce","failure reason":${JSON.stringify(why)},"info_hash":${JSON.stringify(infoHash)}}`
}

export function encodeScrapeFailure(why: string): string {
  return `{"action":"scrape","failure reason":${JSON.stringify(why)}}`
}

/** The answer to a scrape. The wire calls the members that have the whole file `downloaded`, too. */
export function encodeScrape(
  swarms: readonly Swarm[],
  sizes: readonly PoolSize[],
  intervalMs: number,
): string {
  const files = swarms.map(({ infoHash }, index) => {
    const { members, marked } = sizes[index] ?? { members: 0, marked: 0 }
    return `${JSON.stringify(infoHash)}:{"complete":${marked},"incomplete":${members - marked},"downloaded":${marked}}`
  })
  return `{"action":"scrape","files":{${files.join(',')}},"flags":{"min_request_interval":${secondsOf(intervalMs)}}}`
}
