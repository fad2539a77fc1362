import { bannerOf } from './screen.js'
import type { Banner } from './screen.js'
import type { Connection, ServerState } from './world.js'

/** What is said above the screen: the latest news, else what holds all the time. */
export class Banners {
  #standing: Banner | undefined
  #shown: Banner | undefined

  get shown(): Banner | undefined {
    return this.#shown
  }

  /** What holds all the time on this connection. */
  connected({ direct }: Pick<Connection, 'direct'>): void {
    this.#standing = direct === 'no-webrtc' ? 'noWebRtc' : direct === 'off' ? 'p2pOff' : undefined
    this.#shown ??= this.#standing
  }

  server(state: ServerState): void {
    this.show(bannerOf[state] ?? this.#standing)
  }

  show(banner: Banner | undefined): void {
    // These two stay until the page is reloaded.
    if (this.#shown === 'superseded' || this.#shown === 'serverClosed') return
    this.#shown = banner
  }
}
