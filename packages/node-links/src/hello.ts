import type { NodeId } from '@peerage/protocol'
import { parseNodeId } from '@peerage/protocol'
import { timingSafeEqual } from 'node:crypto'
import type { Duplex } from 'node:stream'

// The first thing that each side of a link says: who it is, to whom it speaks, and, without TLS, the token that the other
// side announces. `length (2 bytes)  JSON`. The dialling side says it first; the other side answers when it is convinced.

export interface Hello {
  from: NodeId
  to: NodeId
  /** Of the other side, where links have no TLS. */
  token?: string
  /** From the accepting side: it keeps no link to this node now. */
  busy?: true
}

const LENGTH_BYTES = 2
const HELLO_MOST = 512
const HELLO_VERSION = 1

export function encodeHello(hello: Hello): Buffer {
  const json = Buffer.from(JSON.stringify({ v: HELLO_VERSION, ...hello }), 'utf8')
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt16BE(json.length)
  return Buffer.concat([length, json])
}

/** Undefined for what is no hello of this version. */
export function parseHello(json: string): Hello | undefined {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    return undefined // no JSON
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { v, from, to, token, busy }: Record<string, unknown> = { ...value }
  const [sender, receiver] = [parseNodeId(from), parseNodeId(to)]
  if (v !== HELLO_VERSION || !sender.ok || !receiver.ok) return undefined
  if (token !== undefined && typeof token !== 'string') return undefined
  return {
    from: sender.value,
    to: receiver.value,
    ...(token === undefined ? {} : { token }),
    ...(busy === true ? { busy } : {}),
  }
}

/**
 * Waits for the other side's hello, and hands it out with what came behind it. The socket is paused then. Rejects when it
 * ends before, or brings something else. Reads no more than a hello can be long.
 */
export function readHello(socket: Duplex): Promise<{ hello: Hello; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let read: Buffer = Buffer.alloc(0)
    const done = (): void => {
      socket.off('data', onData).off('close', onClose)
      socket.pause()
    }
    const onClose = (): void => {
      done()
      reject(new Error('the connection ended before its hello'))
    }
    const onData = (chunk: Buffer): void => {
      read = read.length === 0 ? chunk : Buffer.concat([read, chunk])
      if (read.length < LENGTH_BYTES) return
      const length = read.readUInt16BE(0)
      if (length > HELLO_MOST) {
        done()
        reject(new Error('what came is no hello'))
        return
      }
      if (read.length < LENGTH_BYTES + length) return
      done()
      const hello = parseHello(read.toString('utf8', LENGTH_BYTES, LENGTH_BYTES + length))
      if (hello === undefined) reject(new Error('what came is no hello'))
      else resolve({ hello, rest: read.subarray(LENGTH_BYTES + length) })
    }
    socket.on('data', onData).on('close', onClose)
    if (socket.destroyed) onClose()
  })
}

/** Takes the same time wherever the two differ. */
export function isSame(a: string | undefined, b: string): boolean {
  const [one, other] = [Buffer.from(a ?? ''), Buffer.from(b)]
  return one.length === other.length && timingSafeEqual(one, other)
}
