import { parseArgs } from 'node:util'
import { startNodes, type Node } from '@peerage/test-support/node.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import { requireKnown, wholeNumber } from '@peerage/test-support/usage.js'
import { MatchboxPeer, build } from './matchbox/peers.js'

/** The nodes that serve matchbox, and a way to start peers on them. */
interface Tier {
  nodes: Node[]
  redis: RedisServer
  /** Starts a peer on the node with this index. `room` is the rest of the URL. */
  peer: (node: number, room: string) => Promise<MatchboxPeer>
}

interface Case {
  name: string
  nodes: number
  play: (tier: Tier) => Promise<void>
}

const EVERY_MS = 100
/** The memberships of a killed node end after `nameTtlMs`, 90 s. */
const PEER_LEFT_MS = 130_000

const cases: readonly Case[] = [
  {
    name: 'one node: four peers of a room reach each other',
    nodes: 1,
    play: async ({ peer }) => {
      const peers: MatchboxPeer[] = []
      for (let i = 0; i < 4; i++) peers.push(await peer(0, 'chess'))
      await allGreet(peers)
    },
  },
  {
    name: 'two nodes: six peers that come at the same moment reach each other',
    nodes: 2,
    play: async ({ peer }) =>
      allGreet(await Promise.all([0, 1, 0, 1, 1, 0].map((node) => peer(node, 'chess')))),
  },
  {
    name: 'two nodes: eight peers of next=2 form four pairs',
    nodes: 2,
    play: async ({ peer }) => {
      const peers = await Promise.all([0, 1, 0, 1, 1, 0, 1, 0].map((node) => peer(node, 'duel?next=2')))
      await until('four pairs', () => peers.every((one) => partners(one).length === 1))
      await new Promise((resolve) => setTimeout(resolve, 10 * EVERY_MS))
      for (const one of peers) {
        const [partner, ...others] = partners(one)
        const other = peers.find(({ id }) => id === partner)
        if (other === undefined || others.length > 0 || partners(other)[0] !== one.id)
          throw new Error(`${one.id} has the partners ${partners(one).join(', ')}`)
      }
    },
  },
  {
    name: 'two nodes: a peer that goes has left at once, and a newcomer reaches the others',
    nodes: 2,
    play: async ({ peer }) => {
      const [first, second] = [await peer(0, 'chess'), await peer(1, 'chess')]
      await allGreet([first, second])
      await second.stop()
      await first.told((news) => news.type === 'disconnected' && news.peer === second.id)
      await allGreet([first, await peer(1, 'chess')])
    },
  },
  {
    name: 'two nodes: after a Redis that lost everything, a newcomer reaches the others once',
    nodes: 2,
    play: async ({ peer, redis }) => {
      const peers = [await peer(0, 'chess'), await peer(1, 'chess')]
      await allGreet(peers)
      await redis.restart()
      peers.push(await until('a peer on the new Redis', () => peer(0, 'chess').catch(() => undefined)))
      await allGreet(peers)
      for (const one of peers)
        if (connections(one).length !== 2)
          throw new Error(`${one.id} connected ${connections(one).length} times`)
    },
  },
  {
    name: 'two nodes, one killed: its peers end, as with matchbox_server, and have left for the others',
    nodes: 2,
    play: async ({ peer, nodes }) => {
      const [first, second] = [await peer(0, 'chess'), await peer(1, 'chess')]
      await allGreet([first, second])
      await nodes[1]?.kill()
      await second.told((news) => news.type === 'ended')
      await first.told((news) => news.type === 'disconnected' && news.peer === second.id, PEER_LEFT_MS)
      await allGreet([first, await peer(0, 'chess')])
    },
  },
  {
    name: 'two nodes, one drained: its peers end, and have left for the others at once',
    nodes: 2,
    play: async ({ peer, nodes }) => {
      const [first, second] = [await peer(0, 'chess'), await peer(1, 'chess')]
      await allGreet([first, second])
      const ended = nodes[1]?.terminate()
      await second.told((news) => news.type === 'ended')
      await first.told((news) => news.type === 'disconnected' && news.peer === second.id)
      const exit = await ended
      if (exit?.code !== 0) throw new Error(`the drained node ended with ${exit?.code}`)
      await allGreet([first, await peer(0, 'chess')])
    },
  },
]

const partners = (peer: MatchboxPeer): string[] =>
  peer.news().flatMap((news) => (news.type === 'message' ? [news.peer] : []))
const connections = (peer: MatchboxPeer): string[] =>
  peer.news().flatMap((news) => (news.type === 'connected' ? [news.peer] : []))

/** Each of them has a channel to each other one, and a greeting came over it. */
async function allGreet(peers: readonly MatchboxPeer[]): Promise<void> {
  await Promise.all(
    peers.flatMap((one) => peers.filter((other) => other !== one).map((other) => one.greeted(other))),
  )
}

/** Repeats until there is a value that is neither undefined nor false. */
async function until<T>(what: string, look: () => T | Promise<T | undefined>): Promise<T> {
  for (let left = 200; left > 0; left--) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
  }
  throw new Error(`not in time: ${what}`)
}

/** Plays one case with nodes, a Redis and peers of its own, and ends them all. */
async function play({ nodes: count, play: act }: Case, program: string): Promise<void> {
  const redis = await startRedis()
  const nodes: Node[] = []
  const peers: MatchboxPeer[] = []
  try {
    nodes.push(...(await startNodes(count, { redisUrl: redis.url, args: ['--matchbox'] })))
    await act({
      nodes,
      redis,
      peer: async (node, room) => {
        const url = nodes[node]?.url.replace('http', 'ws') ?? ''
        const peer = await MatchboxPeer.start(program, `${url}/matchbox/${room}`)
        peers.push(peer)
        return peer
      },
    })
  } finally {
    await Promise.all([...peers, ...nodes].map((one) => one.stop()))
    await redis.stop()
  }
}

export const USAGE = `npm run test:matchbox -- [--times N] [--only PART-OF-A-NAME]
Builds a small program with the Rust crate matchbox_socket 0.14, which needs cargo and crates.io. Its peers meet over one
node and over two nodes with one Redis, and open real data channels.`

/** `npm run test:matchbox`. Resolves with the exit code: 0, or 1 if a case failed. */
export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: { only: { type: 'string', default: '' }, times: { type: 'string', default: '1' } },
  })
  const chosen = cases.filter(({ name }) => name.includes(values.only))
  if (chosen.length === 0)
    requireKnown(
      'case',
      [values.only],
      cases.map(({ name }) => name),
    )
  const program = await build()
  let failed = 0
  for (const each of chosen.flatMap((one) =>
    Array.from({ length: wholeNumber('times', values.times, 1) }, () => one),
  )) {
    const begun = performance.now()
    const error = await play(each, program).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    if (error !== undefined) failed++
    console.log(
      `${error === undefined ? '✓' : '✗'} ${each.name} (${((performance.now() - begun) / 1_000).toFixed(1)} s)`,
    )
    if (error !== undefined) console.error(error)
  }
  return failed === 0 ? 0 : 1
}
