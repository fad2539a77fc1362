// The SDK for browsers. It uses the browser's WebSocket and WebRTC, and loads modules later that it does not need at
// once.
import { connectOn } from '../connect.js'
import type { ConnectOptions } from '../connect.js'
import { browser } from '../platform/browser.js'
import { lazyModules } from '../platform/modules.js'
import type { Peer } from '../peer.js'

export * from '../index.js'

/**
 * Connects to a Peerage node and claims a name. Resolves when the node has confirmed the name. While no node can be
 * reached, it tries again until `timeoutMs` has passed. If the connection is lost later, the peer reconnects by itself.
 *
 * @param url - The address of any node. `http://` and `ws://` mean the same, and so do `https://` and `wss://`. In a page
 *   it may be a path of the page's own site. It has no user, password, query or hash.
 * @param options - See `ConnectOptions`. All are optional.
 * @returns The connected peer.
 * @throws PeerageError with the code `name-taken`, `forbidden`, `bad-version` or another final refusal of a node;
 *   `timeout`, whose `cause` is the error of the last attempt; `not-loaded`; `bad-name` for an invalid `name`; or
 *   `bad-field` for an invalid `app` or `secret`
 * @throws TypeError for an invalid `url`, an unknown option, or an option with a wrong value. The message names it.
 * @throws The reason of `signal`, if that is aborted first.
 *
 * @example
 * import { connect } from '@peerage/client'
 *
 * const alice = await connect('http://localhost:9000', { name: 'alice' })
 * alice.on('message', (from, data) => console.log(from, data))
 * await alice.send('bob', { text: 'hello' })
 */
export function connect(url: string | URL, options?: ConnectOptions): Promise<Peer> {
  return connectOn(browser, lazyModules, url, options)
}
