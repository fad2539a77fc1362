import { EventEmitter } from 'node:events'
import type { LinkSocket } from '../link.js'

/** One end of a connection within this process. What one end writes, the other reads in a later microtask. */
export class TestSocket extends EventEmitter implements LinkSocket {
  #other: TestSocket | undefined
  #waiting: Buffer[] = []
  /** True: what is written here does not arrive until `flow`, and the other end does not notice a close. */
  stalled = false
  /** True: what is written here is lost. */
  cut = false
  destroyed = false

  static pair(): [TestSocket, TestSocket] {
    const [one, other] = [new TestSocket(), new TestSocket()]
    one.#other = other
    other.#other = one
    return [one, other]
  }

  write(bytes: Uint8Array): boolean {
    if (this.destroyed || this.cut) return false
    this.#waiting.push(Buffer.from(bytes))
    queueMicrotask(() => this.#deliver())
    return true
  }

  /** Does nothing: this socket is never paused. */
  resume(): void {}

  /** Delivers what was stalled. */
  flow(): void {
    this.stalled = false
    this.#deliver()
  }

  /** Closes this end, and the other end unless the connection is cut or stalled. */
  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    queueMicrotask(() => this.emit('close'))
    if (!this.cut && !this.stalled) queueMicrotask(() => this.#other?.destroy())
  }

  // Delivers in pieces that end anywhere, as a network does.
  #deliver(): void {
    if (this.stalled || this.cut) return
    for (const bytes of this.#waiting.splice(0)) {
      if (this.#other?.destroyed !== false) return
      const middle = bytes.length >> 1
      this.#other.emit('data', bytes.subarray(0, middle))
      this.#other.emit('data', bytes.subarray(middle))
    }
  }
}
