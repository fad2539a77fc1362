import { peerOf, type App, type Name, type Peer } from '@peerage/protocol'

/** The sends of one app that a node may have under way. Each holds its message for up to 30 s. */
const SENDS_MOST = 200
/** How many of them may have the same recipient, so that one that acknowledges nothing does not hold up the others. */
const SENDS_TO_ONE_MOST = 20
/** The room messages of one app that a node may have under way. They wait for no peer. */
const SAYS_MOST = 50

/** Counts what the API has under way for each app. */
export class Places {
  readonly #sends = new Map<App, number>()
  readonly #recipients = new Map<Peer, number>()
  readonly #says = new Map<App, number>()

  /** Whether the app may begin so many more sends. */
  hasRoom(app: App, sends: number): boolean {
    return (this.#sends.get(app) ?? 0) + sends <= SENDS_MOST
  }

  /** Runs one send. Resolves with undefined, without running it, if there is no room. */
  async send<T>(app: App, to: Name, act: () => Promise<T>): Promise<T | undefined> {
    const peer = peerOf(app, to)
    if (!this.hasRoom(app, 1) || (this.#recipients.get(peer) ?? 0) >= SENDS_TO_ONE_MOST) return undefined
    add(this.#sends, app, 1)
    add(this.#recipients, peer, 1)
    try {
      return await act()
    } finally {
      add(this.#sends, app, -1)
      add(this.#recipients, peer, -1)
    }
  }

  /** Does the same for one message to a room. */
  async say<T>(app: App, act: () => Promise<T>): Promise<T | undefined> {
    if ((this.#says.get(app) ?? 0) >= SAYS_MOST) return undefined
    add(this.#says, app, 1)
    try {
      return await act()
    } finally {
      add(this.#says, app, -1)
    }
  }
}

function add<K>(counts: Map<K, number>, key: K, more: 1 | -1): void {
  const now = (counts.get(key) ?? 0) + more
  if (now > 0) counts.set(key, now)
  else counts.delete(key)
}
