import { connect, PeerageError, type Peer } from '@peerage/client'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'
import { percentile } from '../chaos/checker.js'

export interface Quality {
  p99Ms: number
  delivered: number
  failed: number
}

const EVERY_MS = 20
const NAMES = ['neighbour-a', 'neighbour-b'] as const

/** The peers that must not notice an attack: a native pair and a PeerJS pair, each with one peer on either node. */
export class Neighbours {
  readonly names = NAMES
  readonly #natives: Peer[] = []
  readonly #urls: readonly string[]
  #peerJs: PeerJsPeer[] = []
  #taken: number[] = []
  #failed = 0
  #timer: NodeJS.Timeout | undefined
  #sent = 0
  readonly #asked = new Map<number, number>()

  constructor(urls: readonly string[]) {
    this.#urls = urls
  }

  async start(): Promise<void> {
    for (const [i, name] of NAMES.entries()) {
      const peer = await connect(this.#urls[i] ?? '', { name, storage: null })
      peer.on('message', () => {})
      this.#natives.push(peer)
    }
    await this.settle()
    this.#timer = setInterval(() => this.#send(), EVERY_MS)
  }

  /** Waits until all are online, and replaces PeerJS peers whose node ended. */
  async settle(): Promise<void> {
    const ends = performance.now() + 40_000
    while (!this.#natives.every((peer) => peer.state.state === 'online')) {
      if (performance.now() > ends) throw new Error('the neighbours did not reconnect')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    if (this.#peerJs.length > 0 && this.#peerJs.every((peer) => peer.end === undefined)) return
    await Promise.all(this.#peerJs.map((peer) => peer.cut()))
    const ids = ['a', 'b'].map((side) => `page-${side}-${Math.random().toString(36).slice(2)}`)
    this.#peerJs = await Promise.all(ids.map((id, i) => PeerJsPeer.open({ url: this.#urls[i] ?? '', id })))
    this.#asked.clear()
    this.#peerJs[1]?.socket.on('message', (data: Buffer) => this.#hear(data.toString()))
  }

  /** Returns the measurements since the last call. */
  take(): Quality {
    // A frame that is still missing counts with the time it has been missing.
    const now = performance.now()
    const late = [...this.#asked.values()].map((at) => now - at).filter((took) => took > 1_000)
    const taken = [...this.#taken, ...late]
    const quality = { p99Ms: percentile(taken, 0.99), delivered: taken.length, failed: this.#failed }
    this.#taken = []
    this.#failed = 0
    return quality
  }

  /** Whether a message is delivered now, in both directions. */
  async reach(): Promise<boolean> {
    const [a, b] = this.#natives
    if (!a || !b) return false
    const sends = [a.send(NAMES[1], 'reach', { via: 'server' }), b.send(NAMES[0], 'reach', { via: 'server' })]
    const all = Promise.allSettled(sends)
    const late = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 8_000))
    const results = await Promise.race([all, late])
    return results !== undefined && results.every((one) => one.status === 'fulfilled')
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#peerJs.map((peer) => peer.cut()))
    await Promise.allSettled(this.#natives.map((peer) => peer.leave()))
  }

  #send(): void {
    const i = this.#sent++
    const from = this.#natives[i % 2]
    if (from) void this.#measure(from, NAMES[(i + 1) % 2] ?? NAMES[0])
    const [page, other] = this.#peerJs
    if (!page || !other || page.end !== undefined || other.end !== undefined) return
    this.#asked.set(i, performance.now())
    page.send(offer(other.id, { n: i }))
  }

  #hear(text: string): void {
    const n = Number(/"n":(\d+)/.exec(text)?.[1] ?? Number.NaN)
    const at = this.#asked.get(n)
    if (at === undefined) return
    this.#asked.delete(n)
    this.#taken.push(performance.now() - at)
  }

  async #measure(from: Peer, to: string): Promise<void> {
    const at = performance.now()
    try {
      await from.send(to, 'x', { via: 'server' })
      this.#taken.push(performance.now() - at)
    } catch (error) {
      if (!(error instanceof PeerageError)) throw error
      this.#failed++
    }
  }
}
