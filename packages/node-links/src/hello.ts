import type { NodeId } from '@peerage/protocol'
import { parseNodeId } from '@peerage/protocol'
import { timingSafeEqual } from 'node:crypto'
import type { Duplex } from 'node:stream'

// The hello is the first text that each side of a link sends. It names both nodes and, without TLS, holds the token that
// the other side announces. `length (2 bytes)  JSON`. The dialling side sends first. The other side answers after it has
// checked the proof.

export interface Hello {
  from: NodeId
  to: NodeId
  /** Without TLS: the token of the other side. */
  token?: string
  /** From the accepting side: it takes no link from the dialling node now. */
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

/** Undefined for anything but a hello of this version. */
export function parseHello(json: string): Hello | undefined {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    return undefined // not JSON
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
 * Waits for the other side's hello, and resolves with it and the bytes that came after it. The socket is then paused.
 * Rejects if the socket ends first or something else arrives. Stops reading beyond the length of the longest hello.
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
        reject(new Error('the other side sent something that is not a hello'))
        return
      }
      if (read.length < LENGTH_BYTES + length) return
      done()
      const hello = parseHello(read.toString('utf8', LENGTH_BYTES, LENGTH_BYTES + length))
      if (hello === undefined) reject(new Error('the other side sent something that is not a hello'))
      else resolve({ hello, rest: read.subarray(LENGTH_BYTES + length) })
    }
    socket.on('data', onData).on('close', onClose)
    if (socket.destroyed) onClose()
  })
}

/** Compares in a time that does not depend on where the two differ. */
export function isSame(a: string | undefined, b: string): boolean {
  const [one, other] = [Buffer.from(a ?? ''), Buffer.from(b)]
  return one.length === other.length && timingSafeEqual(one, other)
}
