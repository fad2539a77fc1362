import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { connectOn } from '../connect.js'
import type { ConnectOptions } from '../connect.js'
import type { Peer } from '../peer.js'
import { staticModules } from '../platform/static-modules.js'
// Loaded now, because the time of a test does not wait for it.
import '../transfer/keys/password.js'
import '../transfer/keys/words.js'
import '../transfer/session/code-guest.js'
import '../transfer/session/host-code.js'
import '../transfer/session/sessions.js'
import { SharingHub } from '../transfer/session/sharing-hub.js'
import type { ShareHost, ShareLink, SharingOptions } from '../transfer/sharing.js'
import type { Store } from '../transfer/types.js'
import { FakeTier } from './fake-tier.js'
import { platform } from './platform.js'

/** What the ciphers of the platform are doing now. They work in other threads, so no turn of the event loop waits for them. */
const ciphering = new Set<Promise<unknown>>()
for (const name of ['encrypt', 'decrypt', 'importKey', 'digest'] as const) {
  const call: unknown = crypto.subtle[name].bind(crypto.subtle)
  if (typeof call !== 'function') throw new Error(`crypto.subtle has no ${name}`)
  const watched = (...given: unknown[]): unknown => {
    const result: Promise<unknown> = Reflect.apply(call, undefined, given)
    const done = (): boolean => ciphering.delete(result)
    ciphering.add(result)
    void result.then(done, done)
    return result
  }
  Object.defineProperty(crypto.subtle, name, { configurable: true, value: watched })
}

/** A store in which nothing is ever stored. */
const noStore: Store = {
  isDurable: false,
  bytesMax: Infinity,
  open: () => new Promise(() => undefined),
}

/** One peer that shares. */
export interface FakeSide {
  peer: Peer
  sharing: SharingHub
}

/** Peers that share files through a fake tier, with a clock that the test moves. There are no channels. */
export class FakeSharing {
  readonly clock = new FakeClock()
  readonly tier = new FakeTier(this.clock)
  readonly errors: unknown[] = []
  readonly #sides: FakeSide[] = []

  constructor() {
    this.tier.relay = { bytesPerSecond: 1024 * 1024, messageBytes: 64 * 1024 }
  }

  async peer(name: string, options: ConnectOptions = {}): Promise<Peer> {
    const { open: transport } = this.tier
    const { clock } = this
    return this.soon(
      connectOn(platform, staticModules, 'http://tier.example', {
        name,
        storage: null,
        p2p: false,
        transport,
        clock,
        ...options,
      }),
    )
  }

  async side(
    name: string,
    options: Partial<SharingOptions> = {},
    connecting: ConnectOptions = {},
  ): Promise<FakeSide> {
    const sharing = new SharingHub({
      store: noStore,
      clock: this.clock,
      onError: (error) => this.errors.push(error),
      connectAs: (other) => this.peer(other),
      device: `device of ${name}`,
      ...options,
    })
    const peer = await this.peer(name, connecting)
    sharing.start(peer)
    const side = { peer, sharing }
    this.#sides.push(side)
    return side
  }

  /** Lets time pass until this is true. Each turn of the event loop is a millisecond. Ciphers take no time. */
  async until(isTrue: () => boolean, withinMs = 60_000): Promise<void> {
    for (let ms = 0; !isTrue(); ms++) {
      if (ms > withinMs) throw new Error(`it was not so within ${withinMs} ms`)
      if (ciphering.size > 0) await Promise.allSettled(ciphering)
      else await this.clock.advance(1)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** The result of a promise that needs time. */
  async soon<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false
    void promise.then(
      () => (isSettled = true),
      () => (isSettled = true),
    )
    await this.until(() => isSettled)
    return promise
  }

  async close(): Promise<void> {
    const sides = this.#sides.splice(0)
    await this.soon(Promise.all(sides.map(({ sharing }) => sharing.close())))
    await this.soon(Promise.all(sides.map(({ peer }) => peer.leave())))
  }
}

export function linkOf(host: ShareHost): ShareLink {
  const { searchParams, hash } = new URL(host.link('https://peers.example/'))
  return { name: searchParams.get('peer_id') ?? '', fragment: hash.slice(1) }
}
