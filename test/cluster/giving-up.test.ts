import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { connect } from '@peerage/client'
import type { Peer } from '@peerage/client'
import { startNodes } from '@peerage/test-support/node.js'
import type { Node } from '@peerage/test-support/node.js'
import { startRedis } from '@peerage/test-support/redis.js'
import type { RedisServer } from '@peerage/test-support/redis.js'

// A peer that gives up before the answer must not leave its name claimed.

const ROUNDS = 72

/**
 * When a connect is given up: before the socket is open, at each frame, or after the welcome. How long a connect takes
 * depends on the machine, so the moments adapt: about two of three rounds give up.
 */
class Moments {
  #round = 0
  #spanMs = 12

  next(): number {
    return ((this.#round++ % 24) / 24) * this.#spanMs
  }

  /** What became of the connect that was to be given up at the last moment. */
  was(gaveUp: boolean): void {
    this.#spanMs *= gaveUp ? 1.1 : 0.8
  }
}

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
    const moments = new Moments()
    let gaveUp = 0
    for (let round = 0; round < ROUNDS; round++) {
      const name = `${what}-${round}`
      const url = urlOf(round % 2)
      try {
        const peer = await begin(moments.next(), url, { name })
        moments.was(false)
        await peer.leave()
      } catch {
        moments.was(true)
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
  const moments = new Moments()
  for (const [round, name] of names.entries())
    await aborted(moments.next(), urlOf(round % 2), { name }).then(
      (peer) => {
        moments.was(false)
        return peer.leave()
      },
      () => moments.was(true),
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
  const moments = new Moments()
  for (let round = 0; round < ROUNDS / 3; round++)
    await aborted(moments.next(), urlOf(1), identity).then(
      (peer) => {
        moments.was(false)
        peer.close()
      },
      () => moments.was(true),
    )
  const back = await connect(urlOf(0), { ...identity, p2p: false })
  expect(back.since).toBe(since)
  await back.leave()
})
