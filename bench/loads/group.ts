import type { Numbers } from '../lib/channel.js'
import { LoadPeer, type PeerEvents } from './peer.js'
import type { WireName } from './wire.js'

export interface OpenOptions {
  wire: WireName
  prefix: string
  first: number
  count: number
  /** The port of each peer's node, in turns. */
  ports: readonly number[]
  /** How many connects may run at the same time. */
  concurrency: number
  /** How many connects may begin in a second; no limit if absent. */
  perSecond?: number
  /** The access token of every peer. */
  token?: string
}

export interface Comeback {
  ports: readonly number[]
  /** Full jitter: the first attempt waits a random share of this time, which doubles with each attempt up to the cap. */
  firstMs: number
  capMs: number
  deadlineMs: number
}

/**
 * An address has some 28,000 ports. The system chooses the first source address: an explicit one makes bind search for
 * a free port, which took over ten seconds for 10,000 connections that reconnected at once.
 */
const PEERS_PER_SOURCE = 20_000
const POLL_MS = 5

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Peers that connect and reconnect together. */
export class Group {
  readonly peers: LoadPeer[] = []
  readonly #sourceBase: number
  #comeback: Comeback | undefined
  #firstLossMs: number | undefined
  #backMs: number[] = []
  #attempts = 0
  #failures = new Map<string, number>()

  constructor(options: OpenOptions, events: Omit<PeerEvents, 'lost'>) {
    this.#sourceBase = options.first
    for (let index = 0; index < options.count; index++) {
      const lost = (peer: LoadPeer): void => void this.#lost(peer, index)
      const name = `${options.prefix}${options.first + index}`
      this.peers.push(new LoadPeer(name, options, { ...events, lost }))
    }
  }

  /** Connects all peers. Throws if one fails, because an incomplete load measures something else. */
  async open(options: OpenOptions): Promise<Numbers> {
    const start = performance.now()
    let next = 0
    const connectSome = async (): Promise<void> => {
      while (next < this.peers.length) {
        const index = next++
        const { perSecond } = options
        if (perSecond !== undefined) await wait(start + (index * 1000) / perSecond - performance.now())
        const reason = await this.#connect(index, options.ports)
        if (reason !== undefined) throw new Error(`${this.peers[index]?.name}: ${reason}`)
      }
    }
    await Promise.all(Array.from({ length: options.concurrency }, connectSome))
    const ms = performance.now() - start
    return { ms, opened: this.peers.length, perSecond: (this.peers.length * 1000) / ms }
  }

  /** From now on a peer that loses its connection reconnects by itself. */
  arm(comeback: Comeback): Numbers {
    this.#comeback = comeback
    return {}
  }

  /** Waits until all peers are back. Reports, in milliseconds from the first loss, when the last peer was. */
  async back(): Promise<Numbers> {
    const comeback = this.#comeback
    if (comeback === undefined) throw new Error('the group was not armed')
    const end = performance.now() + comeback.deadlineMs
    while (this.#backMs.length < this.peers.length) {
      if (performance.now() > end) {
        const reasons = JSON.stringify([...this.#failures])
        throw new Error(
          `${this.#backMs.length} of ${this.peers.length} are back; failed attempts: ${reasons}`,
        )
      }
      await wait(POLL_MS)
    }
    const sorted = this.#backMs.toSorted((a, b) => a - b)
    return {
      lastMs: sorted.at(-1) ?? 0,
      p50Ms: sorted[Math.floor(sorted.length / 2)] ?? 0,
      attempts: this.#attempts,
    }
  }

  close(): void {
    this.#comeback = undefined
    for (const peer of this.peers) peer.close()
  }

  #connect(index: number, ports: readonly number[]): Promise<string | undefined> {
    const peer = this.peers[index]
    const port = ports[index % ports.length]
    if (peer === undefined || port === undefined) throw new Error(`no peer ${index}, or no port for it`)
    const source = Math.floor((this.#sourceBase + index) / PEERS_PER_SOURCE)
    return peer.connect(port, source === 0 ? undefined : `127.0.0.${1 + source}`)
  }

  async #lost(_peer: LoadPeer, index: number): Promise<void> {
    const comeback = this.#comeback
    if (comeback === undefined) return
    this.#firstLossMs ??= performance.now()
    const end = performance.now() + comeback.deadlineMs
    for (let attempt = 0; performance.now() < end; attempt++) {
      await wait(Math.random() * Math.min(comeback.capMs, comeback.firstMs * 2 ** attempt))
      this.#attempts++
      const reason = await this.#connect(index, comeback.ports)
      if (reason === undefined) {
        this.#backMs.push(performance.now() - this.#firstLossMs)
        return
      }
      this.#failures.set(reason, (this.#failures.get(reason) ?? 0) + 1)
    }
  }
}
