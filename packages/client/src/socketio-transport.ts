import { decodeNodeMessage, isErrorCode, isObject, protocolError } from '@peerage/protocol'
import type { ProtocolError } from '@peerage/protocol'
import { io } from 'socket.io-client'
import type { OpenTransport } from './transport.js'

/** A cut: no close frame came (RFC 6455 §7.1.5). */
const CUT = 1006

/**
 * The native wire over socket.io. A node whose URL has a path is reached below that path. Throws a TypeError when `url`
 * is none.
 */
export function socketioTransport(url: string): OpenTransport {
  const { origin, pathname } = new URL(url, globalThis.location?.href)
  const path = `${pathname.replace(/\/$/, '')}/peerage/`
  return (auth, events) => {
    const socket = io(origin, {
      path,
      auth,
      transports: ['websocket'],
      reconnection: false,
      forceNew: true,
    })
    socket.onAny((type: string, fields: unknown) => {
      const read = decodeNodeMessage(type, fields)
      if (read.ok) events.message(read.value)
      else events.malformed(read.error)
    })
    socket.on('connect_error', (error: Error & { data?: unknown }) => {
      const refusal = readRefusal(error.data)
      socket.disconnect()
      if (refusal === undefined) events.closed(CUT)
      else events.refused(refusal)
    })
    socket.on('disconnect', (_reason, details) => {
      const context: unknown = details !== undefined && 'context' in details ? details.context : undefined
      // In browsers a CloseEvent, from `ws` an event of the same shape; socket.io types neither.
      const code = typeof context === 'object' && context !== null && 'code' in context ? context.code : CUT
      socket.offAny()
      events.closed(typeof code === 'number' ? code : CUT)
    })
    return {
      send({ type, ...fields }) {
        if (socket.connected) socket.emit(type, fields)
        return socket.connected
      },
      close() {
        socket.offAny().off().disconnect()
      },
    }
  }
}

/** A CONNECT_ERROR's data; undefined: no node of ours said it, so it counts as a cut. */
function readRefusal(data: unknown): ProtocolError | undefined {
  if (!isObject(data) || !isErrorCode(data['code'])) return undefined
  const retryAfterMs = data['retryAfterMs']
  const detail = String(data['detail'])
  return protocolError(data['code'], detail, typeof retryAfterMs === 'number' ? retryAfterMs : undefined)
}
