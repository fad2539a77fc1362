import type { Socket } from 'node:dgram'
import { inTurn, type OnError } from '@peerage/core'
import { createStunServer, type StunCounters, type StunServer } from '@peerage/stun'
import { addressOf, bindNeighbour, closersOf, type AnyServer } from './http/listen.js'

/** The integrated P2P server. It answers STUN on UDP, on the port after the port of an HTTP server. */
export class P2PServer {
  readonly #onError: OnError
  readonly #closers: (() => Promise<void> | void)[] = []
  #server: StunServer | undefined
  #port: number | null = null
  #stopped = false

  constructor(onError: OnError) {
    this.#onError = onError
  }

  /** The UDP port. Null until the server is bound. */
  get port(): number | null {
    return this.#port
  }

  get counters(): Readonly<StunCounters> | undefined {
    return this.#server?.counters
  }

  /** Starts on the port after that of an application's HTTP server, as soon as the HTTP server listens. */
  follow(server: AnyServer): void {
    const bind = (): void => {
      this.#bindBeside(server).catch((error: unknown) => this.#onError(error, { stage: 'p2p server' }))
    }
    if (server.listening) bind()
    else server.once('listening', bind)
    this.#closers.push(() => void server.off('listening', bind))
  }

  /** Starts on sockets that are bound already. `stop` closes them. After `stop`, this closes them at once. */
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

  // Rejects if the HTTP server does not listen on a TCP port, for example on a pipe.
  async #bindBeside(server: AnyServer): Promise<void> {
    const { address, port } = addressOf(server)
    await this.start(await bindNeighbour(address, port), port + 1)
  }

  readonly #notStopped = (error: unknown): void => this.#onError(error, { stage: 'stop' })
}
