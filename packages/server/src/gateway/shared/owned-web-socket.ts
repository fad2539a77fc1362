import { WebSocket } from 'ws'

/** What a WebSocket tells its connection. */
interface Owner {
  received(data: unknown, isBinary: boolean): void
  pinged(data: unknown): void
  ponged(): void
  ended(code: number): void
  faulted(code: number): void
  failed(error: Error): void
}

/**
 * A WebSocket whose events go straight to its connection. ws reports everything through `emit`. Overriding it saves the
 * table of listeners, which took a tenth of the memory of an idle PeerJS peer.
 */
export class OwnedWebSocket extends WebSocket {
  owner: Owner | undefined

  // ws closes by itself after a fault of the peer. Only then it passes a code alone: we, and its answer to a close frame,
  // pass a text too. It reads nothing more from the peer, and it can still write.
  override close(code?: number, text?: string | Buffer): void {
    const { owner } = this
    if (owner !== undefined && code !== undefined && text === undefined) owner.faulted(code)
    else super.close(code, text)
  }

  // No event has more than two arguments. Rest parameters would allocate an array for each event.
  override emit(event: string | symbol, first?: unknown, second?: unknown): boolean {
    const { owner } = this
    if (owner === undefined) return super.emit(event, first, second)
    switch (event) {
      case 'message':
        owner.received(first, second === true)
        return true
      case 'ping':
        owner.pinged(first)
        return true
      case 'pong':
        owner.ponged()
        return true
      case 'close':
        owner.ended(Number(first))
        return true
      case 'error':
        owner.failed(first instanceof Error ? first : new Error(String(first)))
        return true
      default:
        return super.emit(event, first, second)
    }
  }
}
