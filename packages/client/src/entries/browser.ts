// The SDK for browsers: WebSocket and WebRTC are theirs, and what is not needed at once is loaded later.
import { connectOn } from '../connect.js'
import { browser } from '../platform/browser.js'
import { lazyParts } from '../platform/parts.js'

export * from '../index.js'

/**
 * Connects to any node of the tier at `url` and claims a name. Rejects with a PeerageError, whose `code` says why; with
 * the signal's reason; or with a TypeError for an argument that is none.
 */
export const connect = connectOn.bind(undefined, browser, lazyParts)
