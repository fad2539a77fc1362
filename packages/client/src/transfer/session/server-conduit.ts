import { SEAL_BYTES } from '../keys/seal.js'
import type { Seal } from '../keys/seal.js'
import { MESSAGE_BYTES_MIN } from '../engine/limits.js'
import type { Message } from '../types.js'
import type { OpenConduit } from './conduits.js'
import type { ServerLink } from './server-link.js'
import { Unheard } from './unheard.js'

/** The first byte of a piece: the bits say whether it is text, and whether another piece of the message follows. */
const TEXT = 1
const MORE = 2
/** The largest message in pieces. A page of an offer has at most 48 KiB. */
const MESSAGE_BYTES_MOST = 512 * 1024
/** A piece that another one follows has at least this much content, so that the number of pieces is bounded, too. */
const PIECE_BYTES_MIN = 128
const utf8 = new TextEncoder()

/** Messages through the server, sealed so that no node can read or change them. */
export class ServerConduit implements OpenConduit {
  readonly way = 'server'
  readonly messageBytesMax: number
  /** A longer message goes in pieces. */
  readonly #pieceBytesMax: number
  readonly #link: ServerLink
  readonly #seal: Seal
  readonly #messages = new Unheard<Message>()
  #sent: Promise<unknown> = Promise.resolve()
  #opened: Promise<unknown> = Promise.resolve()
  #pieces: Uint8Array<ArrayBuffer>[] = []
  #piecesBytes = 0

  constructor(link: ServerLink, seal: Seal, payloadBytesMax: number) {
    this.#link = link
    this.#seal = seal
    this.#pieceBytesMax = payloadBytesMax - SEAL_BYTES - 1
    this.messageBytesMax = Math.max(MESSAGE_BYTES_MIN, this.#pieceBytesMax)
    link.onData((payload) => {
      this.#opened = this.#opened.then(() => this.#open(payload))
    })
  }

  send(message: Message): Promise<void> {
    const sent = this.#sent.then(() => this.#sendNow(message))
    this.#sent = sent.catch(() => undefined)
    return sent
  }

  onMessage(listener: (message: Message) => void): () => void {
    return this.#messages.listen(listener)
  }

  onClosed(listener: (reason: string) => void): void {
    this.#link.onClosed(listener)
  }

  async close(reason: string, flush: boolean): Promise<void> {
    if (flush) await this.#sent.then(() => this.#link.flushed())
    this.#link.close(reason)
  }

  async #sendNow(message: Message): Promise<void> {
    const isText = typeof message === 'string'
    const bytes = isText ? utf8.encode(message) : message
    let at = 0
    do {
      const end = Math.min(bytes.length, at + this.#pieceBytesMax)
      const piece = new Uint8Array(1 + end - at)
      piece[0] = (isText ? TEXT : 0) | (end < bytes.length ? MORE : 0)
      piece.set(bytes.subarray(at, end), 1)
      const sealed = await this.#seal.seal(piece)
      if (!sealed.ok) this.#link.close('its keys are used up, and a new connection has new ones')
      await this.#link.send('data', sealed.ok ? sealed.bytes : piece.subarray(0, 0))
      at = end
    } while (at < bytes.length)
  }

  async #open(payload: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.#link.closed !== undefined) return
    const opened = await this.#seal.open(payload)
    if (!opened.ok) this.#link.close('a message through the server was changed or is missing')
    else if (!this.#take(opened.bytes))
      this.#link.close('the other side sent a message that is too long, or in pieces that are too small')
  }

  /** Returns false if the message is too long, or its pieces are too small. */
  #take(piece: Uint8Array<ArrayBuffer>): boolean {
    const mark = piece[0] ?? 0
    const content = piece.subarray(1)
    const isLast = (mark & MORE) === 0
    this.#piecesBytes += content.length
    if (this.#piecesBytes > MESSAGE_BYTES_MOST || (!isLast && content.length < PIECE_BYTES_MIN)) return false
    this.#pieces.push(content)
    if (!isLast) return true
    const bytes = joined(this.#pieces.splice(0), this.#piecesBytes)
    this.#piecesBytes = 0
    this.#messages.push((mark & TEXT) === 0 ? bytes : new TextDecoder().decode(bytes))
    return true
  }
}

function joined(pieces: Uint8Array<ArrayBuffer>[], size: number): Uint8Array<ArrayBuffer> {
  const [first] = pieces
  // The engine may keep the bytes, so they must not share their memory with others.
  if (pieces.length === 1 && first !== undefined) return first.slice()
  const whole = new Uint8Array(size)
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
