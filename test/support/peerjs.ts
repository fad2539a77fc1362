import { once } from 'node:events'
import { WebSocket } from 'ws'

export interface PeerJsPeerOptions {
  /** `http://host:port`. */
  url: string
  id: string
  token?: string
  key?: string
  path?: string
  headers?: Readonly<Record<string, string>>
  /** PEM of the authority to trust, for https. */
  ca?: string
  /** The whole query, in place of id, token and key. */
  query?: string
  /** Whether it answers pings; by default it does. */
  autoPong?: boolean
}

/** One frame of the PeerJS wire, as received. */
export interface PeerJsFrame {
  text: string
  type: string
  src: unknown
  dst: unknown
  payload: unknown
}

const DEADLINE_MS = 10_000

/** A PeerJS peer without the PeerJS library, so that a test decides and sees every frame. */
export class PeerJsPeer {
  readonly id: string
  readonly token: string
  /** All frames so far, as text. */
  readonly frames: string[] = []
  /** How the socket ended; undefined while it is open. */
  end: { code: number; reason: string } | undefined
  readonly socket: WebSocket
  readonly #waiting = new Set<() => void>()

  constructor(options: PeerJsPeerOptions) {
    const { url, id, token = Math.random().toString(36).slice(2), key = 'peerjs', path = '/' } = options
    this.id = id
    this.token = token
    const query = options.query ?? new URLSearchParams({ key, id, token, version: '1.5.5' }).toString()
    const base = path.endsWith('/') ? path : `${path}/`
    this.socket = new WebSocket(`${url.replace(/^http/, 'ws')}${base}peerjs?${query}`, {
      headers: { ...options.headers },
      perMessageDeflate: false,
      autoPong: options.autoPong ?? true,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    })
    this.socket.on('message', (data: Buffer) => {
      this.frames.push(data.toString())
      this.#wake()
    })
    this.socket.on('close', (code, reason) => {
      this.end = { code, reason: String(reason) }
      this.#wake()
    })
    // After a refused handshake or a reset, 'close' follows and says the same.
    this.socket.on('error', () => this.#wake())
  }

  /** Connects and waits for OPEN. */
  static async open(options: PeerJsPeerOptions): Promise<PeerJsPeer> {
    const peer = new PeerJsPeer(options)
    await peer.until('OPEN', () => peer.frames.includes('{"type":"OPEN"}'))
    return peer
  }

  /** Sends an object as JSON, or a text or bytes as they are. */
  send(frame: object | string): void {
    this.socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
  }

  /** All frames but OPEN, decoded. */
  get received(): PeerJsFrame[] {
    return this.frames.map(decode).filter(({ type }) => type !== 'OPEN')
  }

  /** Waits for the first frame, past or to come, of this type and after the first `skip` of them. */
  async next(type: string, skip = 0, deadlineMs?: number): Promise<PeerJsFrame> {
    const find = (): PeerJsFrame | undefined =>
      this.frames.map(decode).filter((frame) => frame.type === type)[skip]
    await this.until(`${type} (${skip})`, () => find() !== undefined, deadlineMs)
    const found = find()
    if (found === undefined) throw new Error('unreachable: the frame was there')
    return found
  }

  /** Waits until the socket has ended, for any reason. */
  async ended(deadlineMs?: number): Promise<{ code: number; reason: string }> {
    await this.until('the end', () => this.end !== undefined, deadlineMs)
    if (this.end === undefined) throw new Error('unreachable: it has ended')
    return this.end
  }

  async until(what: string, holds: () => boolean, deadlineMs = DEADLINE_MS): Promise<void> {
    if (holds()) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look)
        const seen = JSON.stringify(this.frames.slice(-5))
        const state = this.end === undefined ? 'open' : `ended ${this.end.code}`
        reject(new Error(`${this.id}: no ${what} within ${deadlineMs} ms; ${state}, last frames ${seen}`))
      }, deadlineMs)
      const look = (): void => {
        if (!holds()) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
    })
  }

  /** Ends with a close frame, as a page that is closed does. Without a code it calls `ws.close()`. */
  async close(code?: number): Promise<void> {
    if (this.socket.readyState === WebSocket.CLOSED) return
    const closed = once(this.socket, 'close')
    this.socket.close(code)
    await closed
  }

  /** Ends without a close frame, as if the network was lost. */
  async cut(): Promise<void> {
    if (this.socket.readyState === WebSocket.CLOSED) return
    const closed = once(this.socket, 'close')
    this.socket.terminate()
    await closed
  }

  #wake(): void {
    for (const look of this.#waiting) look()
  }
}

function decode(text: string): PeerJsFrame {
  const value: unknown = JSON.parse(text)
  const fields: Record<string, unknown> = typeof value === 'object' && value !== null ? { ...value } : {}
  const { type, src, dst, payload } = fields
  return { text, type: String(type), src, dst, payload }
}

export const offer = (dst: string, payload: unknown = { sdp: 'v=0' }): object => ({
  type: 'OFFER',
  payload,
  dst,
})
export const candidate = (dst: string, n: number): object => ({
  type: 'CANDIDATE',
  payload: { candidate: { candidate: `candidate:${n}` }, n },
  dst,
})
