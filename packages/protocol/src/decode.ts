import { protocolError } from './errors.js'
import { limits } from './limits.js'
import type { Name } from './ids.js'
import type { Hello, NodeMessage, NodeMessageOf, PeerMessage } from './messages.js'
import { PROTOCOL_VERSION, nodeShapes } from './messages.js'
import { helloShape, peerShapes } from './peer-messages.js'
import { isObject, isShallow, natural, readFields } from './rules.js'
import type { Decoded, Shape } from './rules.js'

// The only decoders of the native wire: they turn unknown input into a message or a typed error.

/** A socket.io EVENT packet on the default namespace, inside an engine.io message: `42["type",{…}]`. */
export const EVENT_PREFIX = '42'

/** The message in a frame, or what was wrong with the frame and the id of its request, if it had one [WE1]. */
export type DecodedFrame = Decoded<PeerMessage> & { id?: number }

/** Decodes one frame of a peer, which begins with `42`. */
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

/** Decodes one event of a node, as socket.io-client delivers it. */
export function decodeNodeMessage(type: string, fields: unknown): Decoded<NodeMessage> {
  return decodeEvent<NodeMessage>(nodeShapes, type, fields)
}

/** Decodes the hello in a CONNECT packet [WH1]. */
export function decodeHello(input: unknown): Decoded<Hello> {
  if (!isObject(input)) return { ok: false, error: protocolError('bad-field', 'the hello must be an object') }
  if (input['v'] !== PROTOCOL_VERSION)
    return {
      ok: false,
      error: protocolError('bad-version', `v must be ${PROTOCOL_VERSION}, the version of this protocol`),
    }
  return readFields(helloShape, input)
}

function decodeEvent<M>(shapes: Record<string, Shape>, type: string, fields: unknown): Decoded<M> {
  const shape = Object.hasOwn(shapes, type) ? shapes[type] : undefined
  if (shape === undefined)
    return {
      ok: false,
      error: protocolError('unknown-type', `there is no frame of type ${JSON.stringify(type.slice(0, 32))}`),
    }
  if (!isObject(fields))
    return { ok: false, error: protocolError('bad-field', `${type} must hold one object`) }
  if (!isShallow(fields, limits.depth))
    return {
      ok: false,
      error: protocolError('too-deep', `${type} is nested more than ${limits.depth} levels deep`),
    }
  return readFields(shape, fields, { type }) as Decoded<M>
}

/** Encodes a message of a node as a whole WebSocket text message. */
export function encodeNodeMessage(message: NodeMessage): string {
  const { type, ...fields } = message
  return encodeEvent(type, fields)
}

/**
 * The beginning of each `message` frame from one holder, for `encodeStamped`: its sender, from the node [I13]. `server`:
 * the sender is an application server.
 */
export function stampOf(from: Name, since: number, server = false): string {
  const mark = server ? '"server":true,' : ''
  return `${EVENT_PREFIX}["message",{"from":${JSON.stringify(from)},"since":${since},${mark}`
}

/**
 * Encodes a `message` as `encodeNodeMessage` does, in a third of the time, because most frames are messages. The fields
 * come from a decoded `send`, so only the body can hold characters that JSON escapes.
 */
export function encodeStamped(
  stamp: string,
  {
    stream,
    seq,
    base,
    kind,
    body,
    handshake,
  }: Omit<NodeMessageOf<'message'>, 'type' | 'from' | 'since' | 'server'>,
): string {
  const handshakePart = handshake === undefined ? '' : `,"handshake":"${handshake}"`
  return `${stamp}"stream":"${stream}","seq":${seq},"base":${base},"kind":"${kind}","body":${JSON.stringify(body)}${handshakePart}}]`
}

function encodeEvent(type: string, fields: object): string {
  return `${EVENT_PREFIX}["${type}",${JSON.stringify(fields)}]`
}
