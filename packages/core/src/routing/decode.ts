import type { ConnectionId, NodeId, Peer, RoomId } from '@peerage/protocol'
import { isErrorCode, parseApp, parseName, parseRoomId } from '@peerage/protocol'
import type { Origin } from './bus.js'
import type { Envelope, Message, Whom } from './message.js'
import { readConnection, readNatural, readNode, readPeer, wordsOf } from './fields.js'
import { DIVIDER, ESCAPE, KIND_CODES, TYPE_CODES, WIRE_CODES, unescape } from './record.js'

const COLON = 0x3a
/** Lengths and offsets in a payload fit into nine digits, because Redis refuses strings over 512 MB. */
const LENGTH_DIGITS_MOST = 9
/** The number in an origin fits into six bytes on links. */
const ORIGIN_NUMBER_MOST = 2 ** 48 - 1
/** This is more hops than a message ever makes, because the router stops at 3. */
const HOPS_MOST = 255

const WIRES = wordsOf(WIRE_CODES)
const KINDS = wordsOf(KIND_CODES)
const FLAGS = new Set(['', 'f', 'h', 'fh'])
/** The close codes of applications and of this tier (RFC 6455 §7.4.2). */
const [CLOSE_CODE_LEAST, CLOSE_CODE_MOST] = [4_000, 4_999]

// from, to, wire, kind, flags, since, handshake, reply node, reply connection, reply ref
const MESSAGE_FIELDS = 10
// epoch, hops, the message
const CARRIER_FIELDS = 2 + MESSAGE_FIELDS
// connection, to, code, ref
const NOTICE_FIELDS = 4
// peer, connection, epoch
const END_FIELDS = 3
// app, kind, whom, before, code, text
const DISCONNECT_FIELDS = 6
// connection, pool, member
const HAND_FIELDS = 3
// connection, pool, member, since
const MOVED_FIELDS = 4
/** The ids of members of pools. */
const POOL_MEMBER_PATTERN = /^[\x21-\x7e]{1,128}$/

/** Decodes exactly one envelope. Returns undefined for anything else. Never throws. */
export function decodeEnvelope(input: unknown): Envelope | undefined {
  let only: Envelope | undefined
  let count = 0
  const malformed = decodeEnvelopes(input, (envelope) => {
    only = envelope
    count++
  })
  return malformed === 0 && count === 1 ? only : undefined
}

/**
 * Passes each envelope of a payload to `receive`, in order, with its origin if it has one, and its index among the
 * records. An error that `receive` throws goes to the caller. Returns how many records were malformed. A record with
 * broken lengths ends the payload; any other malformed record is skipped.
 */
export function decodeEnvelopes(
  input: unknown,
  receive: (envelope: Envelope, origin: Origin | undefined, place: number) => void,
): number {
  if (typeof input !== 'string' || input.length === 0) return 1
  let malformed = 0
  let offset = 0
  for (let place = 0; offset < input.length; place++) {
    const extent = readExtent(input, offset)
    if (extent === undefined) return malformed + 1
    const read = readRecord(input, offset, extent)
    if (read === undefined) malformed++
    else receive(read.envelope, read.origin, place)
    offset = extent.end
  }
  return malformed
}

/** Decodes a record of `encodeMessage`. Returns undefined for anything else. Never throws. */
export function decodeMessage(input: unknown): Message | undefined {
  if (typeof input !== 'string' || input[0] !== 'm') return undefined
  const extent = readExtent(input, 0)
  if (extent === undefined || extent.end !== input.length) return undefined
  const fields = input.slice(extent.header, extent.frame).split(DIVIDER)
  return readMessage(fields, 0, input.slice(extent.frame, extent.end))
}

/** Offsets of a record's parts in its payload. */
interface Extent {
  header: number
  frame: number
  end: number
}

function readExtent(input: string, start: number): Extent | undefined {
  const first = readLength(input, start + 1)
  if (first === undefined) return undefined
  const second = readLength(input, first.next)
  if (second === undefined) return undefined
  const frame = second.next + first.length
  const end = frame + second.length
  return end <= input.length ? { header: second.next, frame, end } : undefined
}

// Digit by digit, because a pattern for both lengths makes the whole decoding a seventh slower.
function readLength(input: string, start: number): { length: number; next: number } | undefined {
  let length = 0
  for (let at = start; at <= start + LENGTH_DIGITS_MOST && at < input.length; at++) {
    const digit = input.charCodeAt(at) - 0x30
    if (digit >= 0 && digit <= 9) length = length * 10 + digit
    else return input.charCodeAt(at) === COLON && at > start ? { length, next: at + 1 } : undefined
  }
  return undefined
}

/** A decoded envelope, and its origin. */
interface Read {
  envelope: Envelope
  origin: Origin | undefined
}

function readRecord(input: string, start: number, extent: Extent): Read | undefined {
  const header = input.slice(extent.header, extent.frame)
  const type = input[start]
  if (type === TYPE_CODES.deliver || type === TYPE_CODES.gone) {
    const name = type === TYPE_CODES.deliver ? 'deliver' : 'gone'
    const frame = input.slice(extent.frame, extent.end)
    const plain = readPlainCarrier(name, header, frame)
    if (plain !== undefined) return plain
    const fields = header.split(DIVIDER)
    return withOrigin(readCarrier(name, fields, frame), fields, CARRIER_FIELDS)
  }
  const fields = header.split(DIVIDER)
  switch (type) {
    case TYPE_CODES.notice:
      return withOrigin(readNotice(fields), fields, NOTICE_FIELDS)
    case TYPE_CODES.superseded:
      return withOrigin(readEnd('superseded', fields), fields, END_FIELDS)
    case TYPE_CODES.evicted:
      return withOrigin(readEnd('evicted', fields), fields, END_FIELDS)
    case TYPE_CODES.disconnect:
      return withOrigin(readDisconnect(fields), fields, DISCONNECT_FIELDS)
    case TYPE_CODES.hand:
      return withOrigin(readHand(fields, input.slice(extent.frame, extent.end)), fields, HAND_FIELDS)
    case TYPE_CODES.moved:
      return withOrigin(readMoved(fields), fields, MOVED_FIELDS)
    default:
      return undefined
  }
}

/** A malformed origin makes the record malformed, because without its number a duplicate would not be noticed. */
function withOrigin(envelope: Envelope | undefined, fields: string[], at: number): Read | undefined {
  if (envelope === undefined) return undefined
  const [nodeText = '', numberText = ''] = [fields[at], fields[at + 1]]
  if (nodeText === '' && numberText === '') return { envelope, origin: undefined }
  const node = readNode(nodeText)
  const number = readNatural(numberText)
  if (node === undefined || number === undefined || number > ORIGIN_NUMBER_MOST) return undefined
  return { envelope, origin: { node, number } }
}

// Reads and checks nearly every `deliver` and `gone` with one pattern: names in ASCII, a reply, nothing escaped. All
// others use the field parsers, which give the same result in three to four times the time.
const PLAIN_PEER = '([a-z0-9-]{1,32}/[\\x20-\\x7e]{1,128})'
const PLAIN_TEXT = `[^${DIVIDER}${ESCAPE}]*`
const PLAIN_CARRIER = [
  '(\\d{1,15})', // epoch
  '(\\d{1,2})', // hops
  PLAIN_PEER,
  PLAIN_PEER,
  '([nptwym])',
  '([msa])',
  '(f?h?)',
  '(\\d{1,15})?', // since
  `(?:=(${PLAIN_TEXT}))?`, // handshake
  '([\\w-]{8})',
  '([a-z0-9]{1,12})',
  `(${PLAIN_TEXT})`,
].join(DIVIDER)
const PLAIN_ORIGIN = `${DIVIDER}([\\w-]{8})${DIVIDER}(\\d{1,14})`
const PLAIN_CARRIER_PATTERN = new RegExp(`^${PLAIN_CARRIER}(?:${PLAIN_ORIGIN}(?:${DIVIDER}|$)|$)`)

function readPlainCarrier(type: 'deliver' | 'gone', header: string, frame: string): Read | undefined {
  const words = PLAIN_CARRIER_PATTERN.exec(header)
  if (words === null) return undefined
  const wire = WIRES.get(words[5] ?? '') ?? 'native'
  const kind = words[6] === 'm' ? 'message' : words[6] === 's' ? 'signal' : 'ack'
  const message: Message = { from: words[3] as Peer, to: words[4] as Peer, wire, kind, frame }
  if (words[7] !== '') setFlags(message, words[7])
  if (words[8] !== undefined) message.since = Number(words[8])
  if (words[9] !== undefined) message.handshake = words[9]
  message.reply = { node: words[10] as NodeId, connection: words[11] as ConnectionId, ref: words[12] ?? '' }
  const origin =
    words[13] === undefined ? undefined : { node: words[13] as NodeId, number: Number(words[14]) }
  return { envelope: { type, epoch: Number(words[1]), hops: Number(words[2]), message }, origin }
}

function setFlags(message: Message, flags = ''): void {
  if (flags.includes('f')) message.fresh = true
  if (flags.includes('h')) message.hold = true
}

function readCarrier(type: 'deliver' | 'gone', fields: string[], frame: string): Envelope | undefined {
  const epoch = readNatural(fields[0])
  const hops = readNatural(fields[1])
  const message = readMessage(fields, 2, frame)
  if (epoch === undefined || hops === undefined || hops > HOPS_MOST || message === undefined) return undefined
  return { type, epoch, hops, message }
}

function readNotice(fields: string[]): Envelope | undefined {
  const connection = readConnection(fields[0])
  const to = readPeer(fields[1])
  const code = fields[2]
  const ref = fields[3]
  if (connection === undefined || to === undefined || ref === undefined || !isErrorCode(code))
    return undefined
  return { type: 'notice', connection, to, ref: unescape(ref), code }
}

function readEnd(type: 'superseded' | 'evicted', fields: string[]): Envelope | undefined {
  const peer = readPeer(fields[0])
  const connection = readConnection(fields[1])
  const epoch = readNatural(fields[2])
  if (peer === undefined || connection === undefined || epoch === undefined) return undefined
  return { type, peer, connection, epoch }
}

function readDisconnect(fields: string[]): Envelope | undefined {
  const app = parseApp(fields[0])
  const whom = readWhom(fields[1], fields[2])
  const before = fields[3] === '' ? undefined : readNatural(fields[3])
  const code = readNatural(fields[4])
  const text = fields[5]
  if (!app.ok || whom === undefined || code === undefined || text === undefined) return undefined
  if (code < CLOSE_CODE_LEAST || code > CLOSE_CODE_MOST) return undefined
  const order = { type: 'disconnect' as const, app: app.value, whom, code, text: unescape(text) }
  if (before !== undefined) return { ...order, before }
  return fields[3] === '' ? order : undefined
}

function readHand(fields: string[], frame: string): Envelope | undefined {
  const membership = readMembership(fields)
  return membership && { type: 'hand', ...membership, frame }
}

function readMoved(fields: string[]): Envelope | undefined {
  const membership = readMembership(fields)
  const since = readNatural(fields[3])
  return membership && since !== undefined ? { type: 'moved', ...membership, since } : undefined
}

function readMembership(
  fields: string[],
): { connection: ConnectionId; pool: RoomId; member: string } | undefined {
  const connection = readConnection(fields[0])
  const pool = parseRoomId(fields[1])
  const member = fields[2] ?? ''
  if (connection === undefined || !pool.ok || !POOL_MEMBER_PATTERN.test(member)) return undefined
  return { connection, pool: pool.value, member }
}

function readWhom(kind: string | undefined, text: string | undefined): Whom | undefined {
  if (text === undefined) return undefined
  if (kind === 'i') return { identity: unescape(text) }
  if (kind === 't') return { tokenId: unescape(text) }
  const name = parseName(text)
  return kind === 'n' && name.ok ? { name: name.value } : undefined
}

function readMessage(fields: string[], at: number, frame: string): Message | undefined {
  if (fields.length < at + MESSAGE_FIELDS) return undefined
  const from = readPeer(fields[at])
  const to = readPeer(fields[at + 1])
  const wire = WIRES.get(fields[at + 2] ?? '')
  const kind = KINDS.get(fields[at + 3] ?? '')
  const flags = fields[at + 4] ?? '?'
  if (from === undefined || to === undefined || wire === undefined || kind === undefined) return undefined
  if (!FLAGS.has(flags)) return undefined
  const message: Message = { from, to, wire, kind, frame }
  setFlags(message, flags)
  const sinceText = fields[at + 5] ?? ''
  if (sinceText !== '') {
    const since = readNatural(sinceText)
    if (since === undefined) return undefined
    message.since = since
  }
  const handshake = fields[at + 6] ?? ''
  if (handshake !== '') {
    if (!handshake.startsWith('=')) return undefined
    message.handshake = unescape(handshake.slice(1))
  }
  const replyNode = fields[at + 7] ?? ''
  if (replyNode === '') return message
  const node = readNode(replyNode)
  const connection = readConnection(fields[at + 8])
  if (node === undefined || connection === undefined) return undefined
  message.reply = { node, connection, ref: unescape(fields[at + 9] ?? '') }
  return message
}
