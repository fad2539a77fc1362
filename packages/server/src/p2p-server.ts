import type { Socket } from 'node:dgram'
import { inTurn, type OnError } from '@peerage/core'
import { createStunServer, type StunCounters, type StunServer } from '@peerage/stun'
import { addressOf, bindNeighbour, closersOf, type AnyServer } from './http/listen.js'

/** The integrated P2P server: it answers STUN on UDP, on the port after an HTTP server's. */
export class P2PServer {
  readonly #onError: OnError
  readonly #closers: (() => Promise<void> | void)[] = []
  #server: StunServer | undefined
  #port: number | null = null
  #stopped = false

  constructor(onError: OnError) {
    this.#onError = onError
  }

  /** Where it answers, once it does. */
  get port(): number | null {
    return this.#port
  }

  get counters(): Readonly<StunCounters> | undefined {
    return this.#server?.counters
  }

  /** Beside an application's HTTP server, as soon as that one listens. */
  follow(server: AnyServer): void {
    const bind = (): void => {
      this.#bindBeside(server).catch((error: unknown) => this.#onError(error, { stage: 'p2p server' }))
    }
    if (server.listening) bind()
    else server.once('listening', bind)
    this.#closers.push(() => void server.off('listening', bind))
  }

  /** On sockets that are bound already; they are closed with it, and at once after `stop`. */
  async start(sockets: readonly Socket[], port: number): Promise<void> {
    if (this.#stopped) return inTurn(closersOf(sockets), this.#notStopped)
    const server = createStunServer({
      udp: sockets,
      onError: (error, { stage }) => this.#onError(error, { stage: `stun ${stage}` }),
    })
    server.start()
    this.#server = server
    this.#port = port
    this.#closers.push(() => inTurn([() => server.stop(), ...closersOf(sockets)], this.#notStopped))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#port = null
    await inTurn(this.#closers.splice(0), this.#notStopped)
  }

  // Rejects where the server listens on no TCP port, such as on a pipe.
  async #bindBeside(server: AnyServer): Promise<void> {
    const { address, port } = addressOf(server)
    await this.start(await bindNeighbour(address, port), port + 1)
  }

  readonly #notStopped = (error: unknown): void => this.#onError(error, { stage: 'stop' })
}
