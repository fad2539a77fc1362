import { connect, type Peer } from '@peerage/client'
import { createApi, type Api } from '@peerage/client/api'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { startTopology, type Deployment } from '@peerage/test-support/redis-topologies.js'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

// What the API lists and counts comes from the index of the app. After a fault it must say what the registry says.

const KEY = 'key-of-the-default-app-000'
const BEAT_MS = 300
/** In a round of 15 beats a node renews each of its leases once, and writes it into the index again. */
const TWO_ROUNDS_MS = 2 * 15 * BEAT_MS
/** Processes of a busy machine are late. */
const LATE_MS = 4_000
const WAIT = { timeout: TWO_ROUNDS_MS + LATE_MS, interval: 100 }
const NAMES = Array.from({ length: 30 }, (_, i) => `peer-${String(i).padStart(2, '0')}`)

let redis: Deployment
let nodes: Node[]
const peers: Peer[] = []

const apiOf = (node: number): Api => createApi({ url: nodes[node]?.url ?? '', key: KEY })

/** The names in the pages of a node, and its count. The pages are small, so that there are several. */
async function listed(node: number): Promise<{ names: string[]; count: number }> {
  const api = apiOf(node)
  const names: string[] = []
  let cursor: string | undefined
  do {
    const page = await api.listPeers({ limit: 7, cursor })
    names.push(...page.peers.map(({ name }) => name))
    cursor = page.next
  } while (cursor !== undefined)
  return { names: names.toSorted(), count: await api.countPeers() }
}

/** The names that the registry has, asked one by one. */
async function registered(node: number): Promise<string[]> {
  const found = await Promise.all(NAMES.map((name) => apiOf(node).getPeer(name)))
  return found.flatMap((peer) => (peer === undefined ? [] : [peer.name]))
}

async function expectAgreement(asked: readonly number[], names: readonly string[]): Promise<void> {
  await vi.waitFor(async () => {
    for (const node of asked) {
      expect(await registered(node)).toEqual(names)
      expect(await listed(node)).toEqual({ names, count: names.length })
    }
  }, WAIT)
}

describe.each(['standalone', 'cluster'] as const)('with Redis as %s', (topology) => {
  beforeEach(async () => {
    redis = await startTopology(topology)
    nodes = await startNodes(3, {
      redisUrl: redis.url,
      beatMs: BEAT_MS,
      env: {
        PEERAGE_API_KEYS: KEY,
        PEERAGE_TIMES_NODE_LEASE_MS: '4000',
        PEERAGE_TIMES_PING_INTERVAL_MS: '1500',
        PEERAGE_TIMES_PING_TIMEOUT_MS: '1000',
        PEERAGE_TIMES_DEADLINE_MS: '3000',
        PEERAGE_TIMES_GRACE_MS: '3000',
        PEERAGE_TIMES_NAME_TTL_MS: String(TWO_ROUNDS_MS),
      },
    })
    const options = { storage: null, p2p: false, onRetry: () => {} } as const
    const joined = NAMES.map((name, i) => connect(nodes[i % 3]?.url ?? '', { ...options, name }))
    peers.push(...(await Promise.all(joined)))
    await expectAgreement([0, 1, 2], NAMES)
  })

  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.close()
    await Promise.all((nodes ?? []).map((node) => node.stop()))
    await redis?.stop()
  })

  test('[API15] [SET8] two rounds after FLUSHALL, pages and count of each node have all names again', async () => {
    await redis.flush()
    await expectAgreement([0, 1, 2], NAMES)
  })

  test('[API15] [SET8] two rounds after a node was killed, its names are in no page and no count', async () => {
    const rest = NAMES.filter((_, i) => i % 3 !== 2)
    await nodes[2]?.kill()
    await expectAgreement([0, 1], rest)
  })

  test('[API15] [SET8] FLUSHALL and the death of a node together leave the names of the others', async () => {
    const rest = NAMES.filter((_, i) => i % 3 !== 2)
    await Promise.all([redis.flush(), nodes[2]?.kill()])
    await expectAgreement([0, 1], rest)
  })
})
