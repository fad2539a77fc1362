import { errorMonitor, type EventEmitter } from 'node:events'
import type { AnyServer } from './listen.js'

/** Whether the servers of an application listen. Their errors are the application's to handle: this only looks on. */
export class AttachedPorts {
  /** Those that could not, and why. */
  readonly #failed = new Map<AnyServer, Error>()

  /** Returns the way to end this. */
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

  /** Why one of them does not listen. */
  get failure(): string | undefined {
    const [error] = this.#failed.values()
    return error && `the HTTP server that this node is attached to does not listen: ${error.message}`
  }
}
