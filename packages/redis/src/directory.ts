import type { Directory, Lease } from '@peerage/core'
import type { App, Peer } from '@peerage/protocol'
import { parsePeer } from '@peerage/protocol'
import { Cluster } from 'ioredis'
import type { Redis } from 'ioredis'
import type { Commands } from './connections/commands.js'
import type { Client } from './connections/connect.js'
import type { Keys } from './keys.js'
import { parseLease } from './lease-string.js'

/** How many keys Redis scans in one step. A step takes about half a millisecond, so other commands do not wait long. */
const STEP_KEYS = 1_000

/** Scans the keys of every master. Costs O(all keys of the store), however few of them are wanted. */
export class RedisDirectory implements Directory {
  readonly #commands: Commands
  readonly #keys: Keys

  constructor(options: { commands: Commands; keys: Keys }) {
    this.#commands = options.commands
    this.#keys = options.keys
  }

  async list(app: App, most: number): Promise<{ leases: Lease[]; complete: boolean }> {
    const found = new Map<Peer, Lease>()
    for (const master of mastersOf(this.#commands.client))
      if (!(await this.#scan(master, app, most, found)))
        return { leases: [...found.values()], complete: false }
    return { leases: [...found.values()], complete: true }
  }

  /** Adds the leases on one master to `found`. Returns false if there are more than `most`. */
  async #scan(master: Redis, app: App, most: number, found: Map<Peer, Lease>): Promise<boolean> {
    const pattern = this.#keys.leasesOf(app)
    let cursor = '0'
    do {
      const [next, keys] = await this.#commands.run(() =>
        master.scan(cursor, 'MATCH', pattern, 'COUNT', STEP_KEYS),
      )
      cursor = next
      // SCAN may return a key twice.
      const peers = keys
        .map((key) => this.#peerOf(key))
        .filter((peer) => peer !== undefined && !found.has(peer))
      const leases = await Promise.all(peers.map((peer) => this.#lookup(peer)))
      for (const lease of leases) {
        if (lease === undefined) continue
        if (found.size >= most) return false
        found.set(lease.peer, lease)
      }
    } while (cursor !== '0')
    return true
  }

  async #lookup(peer: Peer | undefined): Promise<Lease | undefined> {
    if (peer === undefined) return undefined
    return parseLease(peer, await this.#commands.run((client) => client.get(this.#keys.lease(peer))))
  }

  #peerOf(key: string): Peer | undefined {
    const peer = parsePeer(this.#keys.peerOfLease(key))
    return peer.ok ? peer.value : undefined
  }
}

function mastersOf(client: Client): Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client]
}
