import { EventEmitter } from 'node:events'
import type { LinkSocket } from '../link.js'

/** One end of a connection in this process: what one end writes, the other reads in a later turn. */
export class TestSocket extends EventEmitter implements LinkSocket {
  #other: TestSocket | undefined
  #waiting: Buffer[] = []
  /** True: nothing that is written here arrives, and nobody hears of it; later it may. */
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

  /** What it brings is taken as it comes. */
  resume(): void {}

  /** What was stalled arrives. */
  flow(): void {
    this.stalled = false
    this.#deliver()
  }

  /** A cut or stalled connection tells its other end nothing. */
  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    queueMicrotask(() => this.emit('close'))
    if (!this.cut && !this.stalled) queueMicrotask(() => this.#other?.destroy())
  }

  // In pieces that end anywhere, as a network has it.
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
