import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { connect } from '@peerage/client'
import type { Peer } from '@peerage/client'
import { startNodes } from '@peerage/test-support/node.js'
import type { Node } from '@peerage/test-support/node.js'
import { startRedis } from '@peerage/test-support/redis.js'
import type { RedisServer } from '@peerage/test-support/redis.js'

// A peer that gives up before the answer must not leave its name claimed.

const ROUNDS = 72
/** When a connect is given up: before the socket is open, at each frame, or after the welcome. */
const OFFSETS_MS = Array.from({ length: 24 }, (_, n) => n * 0.5)

let redis: RedisServer
let nodes: Node[]
let watcher: Peer

beforeAll(async () => {
  redis = await startRedis()
  nodes = await startNodes(2, { redisUrl: redis.url })
  watcher = await connect(urlOf(0), { p2p: false })
})
afterAll(async () => {
  watcher?.close()
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await redis?.stop()
})

function urlOf(index: number): string {
  const node = nodes[index]
  if (node === undefined) throw new Error('two nodes were started')
  return node.url
}

/** Precise to a fraction of a millisecond, unlike timers. */
async function pause(ms: number): Promise<void> {
  const until = performance.now() + ms
  await new Promise((resolve) => setTimeout(resolve, Math.floor(ms)))
  while (performance.now() < until) await new Promise((resolve) => setImmediate(resolve))
}

const offsetOf = (round: number): number => OFFSETS_MS[round % OFFSETS_MS.length] ?? 0

/** A connect that is aborted after `ms` if it is not done by then. */
function aborted(ms: number, url: string, options: { name: string; secret?: string }): Promise<Peer> {
  const giveUp = new AbortController()
  void pause(ms).then(() => giveUp.abort(new Error('enough')))
  return connect(url, { ...options, p2p: false, signal: giveUp.signal })
}

const timedOut: typeof aborted = (ms, url, options) => connect(url, { ...options, p2p: false, timeoutMs: ms })

test.each([
  ['abort', aborted],
  ['timeout', timedOut],
])(
  '[WC5] [WL7] after an %s at any moment the next connect with the name is welcomed at once',
  async (what, begin) => {
    let gaveUp = 0
    for (let round = 0; round < ROUNDS; round++) {
      const name = `${what}-${round}`
      const url = urlOf(round % 2)
      try {
        const peer = await begin(offsetOf(round), url, { name })
        await peer.leave()
      } catch {
        gaveUp++
        const next = await connect(url, { name, p2p: false })
        await next.leave()
      }
    }
    expect(gaveUp).toBeGreaterThan(ROUNDS / 6)
  },
)

test('[WC5] [WL7] after an abort nobody holds the name', async () => {
  const names = Array.from({ length: ROUNDS }, (_, round) => `gone-${round}`)
  for (const [round, name] of names.entries())
    await aborted(offsetOf(round), urlOf(round % 2), { name }).then(
      (peer) => peer.leave(),
      () => {},
    )
  await vi.waitFor(async () => {
    const held = (await watcher.lookup(names)).filter(({ state }) => state !== 'offline')
    expect(held).toEqual([])
  })
})

test('[WC5] [I8] an aborted connect of a returning peer does not free its name', async () => {
  const identity = { name: 'waits', secret: 's'.repeat(22) }
  const first = await connect(urlOf(0), { ...identity, p2p: false })
  const { since } = first
  first.close()
  for (const ms of OFFSETS_MS)
    await aborted(ms, urlOf(1), identity).then(
      (peer) => peer.close(),
      () => {},
    )
  const back = await connect(urlOf(0), { ...identity, p2p: false })
  expect(back.since).toBe(since)
  await back.leave()
})
