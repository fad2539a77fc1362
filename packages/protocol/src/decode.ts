import { protocolError } from './errors.js'
import { limits } from './limits.js'
import type { Name } from './ids.js'
import type { Hello, NodeMessage, NodeMessageOf, PeerMessage } from './messages.js'
import { PROTOCOL_VERSION, nodeShapes } from './messages.js'
import { helloShape, peerShapes } from './peer-messages.js'
import { isObject, isShallow, natural, readFields } from './rules.js'
import type { Decoded, Shape } from './rules.js'

// The only place where what came over a wire is trusted: unknown in, a message or a typed error out.

/** A socket.io EVENT packet on the default namespace, inside an engine.io message: `42["type",{…}]`. */
export const EVENT_PREFIX = '42'

/** What a frame holds; what was wrong with it, and the id of the request where it had one [WE1]. */
export type DecodedFrame = Decoded<PeerMessage> & { id?: number }

/** Decodes one frame that a peer sent, with its `42`. */
export function decodeFrame(frame: string): DecodedFrame {
  let event: unknown
  try {
    event = JSON.parse(frame.slice(EVENT_PREFIX.length))
  } catch {
    return { ok: false, error: protocolError('bad-frame', 'the frame is not JSON') }
  }
  if (!Array.isArray(event) || typeof event[0] !== 'string' || event.length !== 2)
    return { ok: false, error: protocolError('bad-frame', 'the frame is not ["type", {…}]') }
  const [type, fields]: [string, unknown] = [event[0], event[1]]
  const decoded: DecodedFrame = decodeEvent<PeerMessage>(peerShapes, type, fields)
  const id = decoded.ok || !isObject(fields) ? undefined : fields['id']
  return natural.is(id) ? { ...decoded, id } : decoded
}

/** Decodes one event that a node sent, as socket.io-client hands it over. */
export function decodeNodeMessage(type: string, fields: unknown): Decoded<NodeMessage> {
  return decodeEvent<NodeMessage>(nodeShapes, type, fields)
}

/** Decodes the auth payload of a CONNECT packet [WH1]. */
export function decodeHello(input: unknown): Decoded<Hello> {
  if (!isObject(input))
    return { ok: false, error: protocolError('bad-field', 'the auth payload must be an object') }
  if (input['v'] !== PROTOCOL_VERSION)
    return { ok: false, error: protocolError('bad-version', `v must be ${PROTOCOL_VERSION}`) }
  return readFields(helloShape, input)
}

function decodeEvent<M>(shapes: Record<string, Shape>, type: string, fields: unknown): Decoded<M> {
  const shape = Object.hasOwn(shapes, type) ? shapes[type] : undefined
  if (shape === undefined)
    return {
      ok: false,
      error: protocolError('unknown-type', `no message type ${JSON.stringify(type.slice(0, 32))}`),
    }
  if (!isObject(fields)) return { ok: false, error: protocolError('bad-field', `${type} carries one object`) }
  if (!isShallow(fields, limits.depth))
    return { ok: false, error: protocolError('too-deep', `${type} is nested over ${limits.depth} levels`) }
  return readFields(shape, fields, { type }) as Decoded<M>
}

/** Encodes what a node sends: the whole WebSocket text frame. */
export function encodeNodeMessage(message: NodeMessage): string {
  const { type, ...fields } = message
  return encodeEvent(type, fields)
}

/** The beginning of every message of one stay, for `encodeStamped`: who sends it, as its node knows [I13]. */
export function stampOf(from: Name, since: number): string {
  return `${EVENT_PREFIX}["message",{"from":${JSON.stringify(from)},"since":${since},`
}

/**
 * What `encodeNodeMessage` makes of a `message` with these fields, in a third of the time: of all frames most are these. The
 * fields are those of a decoded `send`, so none but the body holds anything that JSON writes in another way.
 */
export function encodeStamped(
  stamp: string,
  { stream, seq, base, kind, body, handshake }: Omit<NodeMessageOf<'message'>, 'type' | 'from' | 'since'>,
): string {
  const talk = handshake === undefined ? '' : `,"handshake":"${handshake}"`
  return `${stamp}"stream":"${stream}","seq":${seq},"base":${base},"kind":"${kind}","body":${JSON.stringify(body)}${talk}}]`
}

function encodeEvent(type: string, fields: object): string {
  return `${EVENT_PREFIX}["${type}",${JSON.stringify(fields)}]`
}
