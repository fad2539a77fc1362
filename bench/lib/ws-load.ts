import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'

export interface FrameTarget {
  host: string
  port: number
  /** Path and query of the upgrade request. */
  path: string
  /** The address to connect from, because one address has only some 28,000 ports. */
  source?: string
}

export interface FrameHandlers {
  open(): void
  text(text: string): void
  /** Called once, however the connection ended. */
  closed(reason: string): void
}

const TEXT = 0x1
const CLOSE = 0x8
const PING = 0x9
const PONG = 0xa
const FINAL = 0x80
const MASKED = 0x80
const SHORT_LENGTH = 125
const LENGTH_16 = 126
const LENGTH_64 = 127
const MASK_BYTES = 4

/**
 * A WebSocket client that does only what load needs (RFC 6455 §5): it sends text frames without fragments and answers
 * pings. It costs a fraction of a full client, so that a few processes can load a server.
 */
export class FrameSocket {
  readonly #socket: Socket
  readonly #handlers: FrameHandlers
  // All frames of a connection share one mask. The server does the same work, because it unmasks each byte anyway.
  readonly #mask = randomBytes(MASK_BYTES)
  #upgraded = false
  #closed = false
  #rest: Buffer | undefined

  constructor(target: FrameTarget, handlers: FrameHandlers) {
    this.#handlers = handlers
    const { host, port, source } = target
    this.#socket = connect({
      host,
      port,
      noDelay: true,
      ...(source === undefined ? {} : { localAddress: source }),
    })
    this.#socket.on('connect', () => this.#socket.write(upgradeRequest(target)))
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk))
    this.#socket.on('error', (error: Error) => this.#end(error.message))
    this.#socket.on('close', () => this.#end('closed'))
  }

  send(text: string): void {
    if (this.#closed) return
    this.#socket.write(this.#frame(TEXT, Buffer.from(text, 'utf8')))
  }

  /** Sends a close frame with code 1000, then ends the connection. */
  close(): void {
    if (this.#closed) return
    if (this.#upgraded) this.#socket.write(this.#frame(CLOSE, Buffer.from([0x03, 0xe8])))
    this.#socket.end()
  }

  /** Cuts the connection without a close frame. */
  destroy(): void {
    this.#socket.destroy()
  }

  #frame(opcode: number, payload: Buffer): Buffer {
    const length = payload.length
    const head = length <= SHORT_LENGTH ? 2 : 4
    const frame = Buffer.allocUnsafe(head + MASK_BYTES + length)
    frame[0] = FINAL | opcode
    if (head === 2) frame[1] = MASKED | length
    else {
      frame[1] = MASKED | LENGTH_16
      frame.writeUInt16BE(length, 2)
    }
    const mask = this.#mask
    mask.copy(frame, head)
    const start = head + MASK_BYTES
    for (let index = 0; index < length; index++) {
      frame[start + index] = (payload[index] ?? 0) ^ (mask[index & 3] ?? 0)
    }
    return frame
  }

  #read(chunk: Buffer): void {
    let buffer = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = undefined
    if (!this.#upgraded) {
      const body = this.#readUpgrade(buffer)
      if (body === undefined) return
      buffer = body
    }
    let at = 0
    while (at < buffer.length) {
      const next = this.#readFrame(buffer, at)
      if (next === undefined) break
      at = next
    }
    if (at < buffer.length) this.#rest = buffer.subarray(at)
  }

  /** The bytes after the head of the response; undefined if the head is incomplete or refuses the upgrade. */
  #readUpgrade(buffer: Buffer): Buffer | undefined {
    const end = buffer.indexOf('\r\n\r\n')
    if (end < 0) {
      this.#rest = buffer
      return undefined
    }
    const status = buffer.toString('latin1', 0, buffer.indexOf('\r\n'))
    if (!status.startsWith('HTTP/1.1 101')) {
      this.#end(status)
      this.#socket.destroy()
      return undefined
    }
    this.#upgraded = true
    this.#handlers.open()
    return buffer.subarray(end + 4)
  }

  /** Where the next frame starts; undefined if this frame is incomplete. */
  #readFrame(buffer: Buffer, at: number): number | undefined {
    if (buffer.length < at + 2) return undefined
    const opcode = (buffer[at] ?? 0) & 0x0f
    let length = (buffer[at + 1] ?? 0) & 0x7f
    let start = at + 2
    if (length === LENGTH_16) {
      if (buffer.length < at + 4) return undefined
      length = buffer.readUInt16BE(at + 2)
      start = at + 4
    } else if (length === LENGTH_64) {
      if (buffer.length < at + 10) return undefined
      length = Number(buffer.readBigUInt64BE(at + 2))
      start = at + 10
    }
    const end = start + length
    if (buffer.length < end) return undefined
    if (opcode === TEXT) this.#handlers.text(buffer.toString('utf8', start, end))
    else if (opcode === PING) this.#socket.write(this.#frame(PONG, buffer.subarray(start, end)))
    else if (opcode === CLOSE) this.#socket.end()
    return end
  }

  #end(reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#handlers.closed(reason)
  }
}

function upgradeRequest(target: FrameTarget): string {
  return (
    `GET ${target.path} HTTP/1.1\r\nHost: ${target.host}:${target.port}\r\n` +
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36\r\n' +
    'Accept-Language: en-GB,en;q=0.9\r\nAccept-Encoding: gzip, deflate, br\r\n' +
    'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
    `Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n` +
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`
  )
}
