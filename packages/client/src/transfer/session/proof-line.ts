import type { Clock } from '../../lib/clock.js'
import type { ConnectionEnd, VerifyLine } from '../../p2p/options.js'
import type { HandshakeContext, Line } from '../keys/handshake.js'
import type { ServerLink } from './server-link.js'

/** How long one side waits for the other's next message of a handshake through the server. */
const ANSWER_MS = 20_000
/** How long a guest has to read why it was refused. */
const READ_MS = 5_000

/** What both sides see of a new connection. */
export function contextOfChannel(
  local: ConnectionEnd,
  remote: ConnectionEnd,
  { handshake }: VerifyLine,
): HandshakeContext {
  return { handshake, local, remote }
}

/** Through the server there is no certificate. */
export function contextOfServer(own: string, link: ServerLink): HandshakeContext {
  return {
    handshake: link.id,
    local: { name: own, fingerprint: '' },
    remote: { name: link.to, fingerprint: '' },
  }
}

/**
 * Resolves when the guest has ended the connection, because it has read why it was refused, or after a while. If the host
 * ended it, the reason could be lost, and the guest would try once more, perhaps with the same wrong password.
 */
export function untilRead({ signal }: VerifyLine, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(READ_MS, resolve)
    const end = (): void => {
      timer.cancel()
      resolve()
    }
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
  })
}

/** Carries one handshake through the server. */
export class ServerLine implements Line {
  readonly #link: ServerLink
  readonly #clock: Clock
  readonly #arrived: Uint8Array<ArrayBuffer>[] = []
  readonly #stop: () => void
  #wake: () => void = () => undefined

  constructor(link: ServerLink, clock: Clock) {
    this.#link = link
    this.#clock = clock
    this.#stop = link.onProof((message) => {
      this.#arrived.push(message)
      this.#wake()
    })
    link.onClosed(() => this.#wake())
  }

  send(message: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.#link.send('proof', message)
  }

  /** Rejects when the link closes, or when the other side does not answer. */
  async receive(): Promise<Uint8Array<ArrayBuffer>> {
    let isLate = false
    const timer = this.#clock.after(ANSWER_MS, () => {
      isLate = true
      this.#wake()
    })
    try {
      for (;;) {
        const message = this.#arrived.shift()
        if (message !== undefined) return message
        if (this.#link.closed !== undefined) throw new Error(this.#link.closed)
        if (isLate) throw new Error('the other side did not answer')
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      timer.cancel()
    }
  }

  /** The handshake is over. */
  close(): void {
    this.#stop()
  }
}
