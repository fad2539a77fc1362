// The SDK for browsers without any dynamic import.
import { connectOn } from '../connect.js'
import type { ConnectOptions } from '../connect.js'
import type { Ground } from '../ground.js'
import { browser } from '../browser.js'
import { staticParts } from '../static-parts.js'
import type { Peer } from '../peer.js'

export * from '../index.js'

const ground: Ground = { ...browser, ...staticParts }

/** The types of every entry are those of browser.ts. */
export function connect(url: string, options?: ConnectOptions): Promise<Peer> {
  return connectOn(ground, url, options)
}
