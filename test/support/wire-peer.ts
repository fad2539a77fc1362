import { WebSocket } from 'ws'

export interface WirePeerOptions {
  headers?: Readonly<Record<string, string>>
  /** PEM of the authority to trust, for wss. */
  ca?: string
  /** Whether it answers pings; by default it does. */
  autoPong?: boolean
}

const DEADLINE_MS = 10_000

/** A peer of any wire as a bare WebSocket, so that a test decides and sees every frame. */
export class WirePeer {
  /** Its name in errors. */
  readonly label: string
  /** All frames so far, as text. */
  readonly frames: string[] = []
  /** How the socket ended; undefined while it is open. */
  end: { code: number; reason: string } | undefined
  readonly socket: WebSocket
  readonly #waiting = new Set<() => void>()

  constructor(url: string, { headers = {}, ca, autoPong = true }: WirePeerOptions = {}, label = url) {
    this.label = label
    this.socket = new WebSocket(url, {
      headers: { ...headers },
      perMessageDeflate: false,
      autoPong,
      ...(ca === undefined ? {} : { ca }),
    })
    this.socket.on('message', (data: Buffer) => {
      this.frames.push(data.toString())
      this.#wake()
    })
    this.socket.on('open', () => this.#wake())
    this.socket.on('close', (code, reason) => {
      this.end = { code, reason: String(reason) }
      this.#wake()
    })
    // After a refused handshake or a reset, 'close' follows and says the same.
    this.socket.on('error', () => this.#wake())
  }

  /** Waits until the upgrade is answered. */
  async opened(): Promise<void> {
    await this.until('upgrade', () => this.socket.readyState === WebSocket.OPEN)
  }

  /** Sends an object as JSON, or a text or bytes as they are. */
  send(frame: object | string): void {
    this.socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
  }

  /** Waits until so many frames have come, and returns the last of them. */
  async frame(count: number, deadlineMs?: number): Promise<string> {
    await this.until(`frame ${count}`, () => this.frames.length >= count, deadlineMs)
    return this.frames[count - 1] ?? ''
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
        reject(new Error(`${this.label}: no ${what} within ${deadlineMs} ms; ${state}, last frames ${seen}`))
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
    this.socket.close(code)
    await this.ended()
  }

  /** Ends without a close frame, as if the network was lost. */
  async cut(): Promise<void> {
    if (this.socket.readyState === WebSocket.CLOSED) return
    this.socket.terminate()
    await this.ended()
  }

  #wake(): void {
    for (const look of this.#waiting) look()
  }
}
