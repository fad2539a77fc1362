import type { Conduit, Message } from '../transfer/types.js'

export interface FakeConduitOptions {
  /** Numbers in [0, 1). Binary messages overtake others by it. Default: nothing overtakes. */
  random?: (() => number) | undefined
  messageBytesMax?: number | undefined
  /** Sees each message before it arrives. False: it is lost. It may return another message in its place. */
  tap?: ((message: Message, from: 'a' | 'b') => Message | false) | undefined
}

/** How many binary messages one may overtake. */
const OVERTAKES = 24

/** Two ends of one conduit, which carries messages in later microtasks. */
export interface FakeConduits {
  a: Conduit
  b: Conduit
  /** Closes it. What is under way is lost. */
  cut(): void
  /** Puts a message on the way that one end has not sent. */
  inject(to: 'a' | 'b', message: Message): void
}

export function fakeConduits(options: FakeConduitOptions = {}): FakeConduits {
  const state = { isOpen: true }
  const toA = new Direction(state, options, 'b')
  const toB = new Direction(state, options, 'a')
  const end = (out: Direction, into: Direction): Conduit => ({
    messageBytesMax: options.messageBytesMax ?? 256 * 1_024,
    send: async (message) => {
      if (!state.isOpen) throw new Error('the conduit is closed')
      const size = typeof message === 'string' ? message.length : message.length
      if (size > (options.messageBytesMax ?? 256 * 1_024))
        throw new Error(`a message of ${size} bytes is too large`)
      // The sender may use the memory again after this.
      out.push(typeof message === 'string' ? message : message.slice())
      await out.hasRoom()
      if (!state.isOpen) throw new Error('the conduit is closed')
    },
    onMessage: (listener) => into.listen(listener),
  })
  return {
    a: end(toB, toA),
    b: end(toA, toB),
    cut: () => {
      state.isOpen = false
      toA.drop()
      toB.drop()
    },
    inject: (to, message) => (to === 'a' ? toA : toB).push(message),
  }
}

class Direction {
  readonly #state: { isOpen: boolean }
  readonly #options: FakeConduitOptions
  readonly #from: 'a' | 'b'
  #texts: string[] = []
  #bytes: Uint8Array<ArrayBuffer>[] = []
  /** For each waiting message, whether it is a text: the order if nothing overtakes. */
  #order: ('text' | 'bytes')[] = []
  #listener: ((message: Message) => void) | undefined
  #isRunning = false
  #waiting: (() => void)[] = []

  constructor(state: { isOpen: boolean }, options: FakeConduitOptions, from: 'a' | 'b') {
    this.#state = state
    this.#options = options
    this.#from = from
  }

  push(message: Message): void {
    if (typeof message === 'string') this.#texts.push(message)
    else this.#bytes.push(message)
    this.#order.push(typeof message === 'string' ? 'text' : 'bytes')
    this.#run()
  }

  listen(listener: (message: Message) => void): () => void {
    this.#listener = listener
    this.#run()
    return () => {
      if (this.#listener === listener) this.#listener = undefined
    }
  }

  drop(): void {
    this.#texts = []
    this.#bytes = []
    this.#order = []
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  async hasRoom(): Promise<void> {
    if (this.#bytes.length >= OVERTAKES) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #run(): void {
    if (this.#isRunning || this.#listener === undefined) return
    this.#isRunning = true
    void this.#deliver()
  }

  async #deliver(): Promise<void> {
    const { random, tap } = this.#options
    while (this.#order.length > 0 && this.#listener !== undefined && this.#state.isOpen) {
      for (let turns = 1 + Math.floor((random?.() ?? 0) * 4); turns > 0; turns--) await Promise.resolve()
      const message = this.#next(random)
      const tapped = message === undefined || tap === undefined ? message : tap(message, this.#from)
      if (tapped !== undefined && tapped !== false && this.#state.isOpen) this.#listener?.(tapped)
      if (this.#bytes.length < OVERTAKES) for (const resolve of this.#waiting.splice(0)) resolve()
    }
    this.#isRunning = false
  }

  #next(random: (() => number) | undefined): Message | undefined {
    if (random === undefined)
      return this.#order.shift() === 'text' ? this.#texts.shift() : this.#bytes.shift()
    this.#order.pop()
    const isText = this.#texts.length > 0 && (this.#bytes.length === 0 || random() < 0.5)
    if (isText) return this.#texts.shift()
    const at = Math.floor(random() * Math.min(OVERTAKES, this.#bytes.length))
    return this.#bytes.splice(at, 1)[0]
  }
}
