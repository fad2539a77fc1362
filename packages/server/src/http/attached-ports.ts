import { errorMonitor, type EventEmitter } from 'node:events'
import type { AnyServer } from './listen.js'

/** Watches whether the servers of an application listen. It does not handle their errors: the application must. */
export class AttachedPorts {
  /** The servers that could not listen, and why. */
  readonly #failed = new Map<AnyServer, Error>()

  /** Watches a server. Returns a function that ends this. */
  watch(server: AnyServer): () => void {
    const failed = (error: Error): void => {
      if (!server.listening) this.#failed.set(server, error)
    }
    const listens = (): void => void this.#failed.delete(server)
    const events: EventEmitter = server
    events.on(errorMonitor, failed)
    events.on('listening', listens)
    return () => {
      listens()
      events.off(errorMonitor, failed)
      events.off('listening', listens)
    }
  }

  /** Why one of the servers does not listen. Undefined if none has failed. */
  get failure(): string | undefined {
    const [error] = this.#failed.values()
    return error && `the HTTP server that this node is attached to does not listen: ${error.message}`
  }
}
