import { randomBytes, randomUUID } from 'node:crypto'
import { WirePeer } from '@peerage/test-support/wire-peer.js'
import type { Testbed } from './testbed.js'

const GONE_MS = 8_000
const POLL_MS = 100

/**
 * Checks that two peers of each wire, on two nodes, still reach each other, and that the attackers have left nothing in
 * Redis. Returns what is wrong.
 */
export async function served(testbed: Testbed): Promise<string | undefined> {
  const [a = '', b = ''] = testbed.urls.map((url) => url.replace('http', 'ws'))
  try {
    for (const reach of [publications, trystero, tracker, matchbox]) await reach(a, b)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  return left(testbed)
}

/** Opens a peer on either node, and closes both in the end. */
async function pair(
  urls: readonly [string, string],
  meet: (one: WirePeer, other: WirePeer) => Promise<void>,
): Promise<void> {
  const [one, other] = urls.map((url) => new WirePeer(url))
  if (one === undefined || other === undefined) throw new Error('there are two URLs')
  try {
    await Promise.all([one.opened(), other.opened()])
    await meet(one, other)
  } finally {
    await Promise.all([one.cut(), other.cut()])
  }
}

const heard = (peer: WirePeer, what: string): Promise<void> =>
  peer.until(what, () => peer.frames.some((frame) => frame.includes(what)))

/** Both subscribe and publish. The second publication is sure to find both there. */
async function publications(a: string, b: string): Promise<void> {
  const topic = randomUUID()
  const publish = (from: string): object => ({ type: 'publish', topic, data: { type: 'announce', from } })
  await pair([`${a}/y-webrtc/default`, `${b}/y-webrtc/default`], async (one, other) => {
    one.send({ type: 'subscribe', topics: [topic] })
    one.send(publish('one'))
    await heard(one, '"one"')
    other.send({ type: 'subscribe', topics: [topic] })
    other.send(publish('other'))
    await heard(one, '"other"')
  })
}

async function trystero(a: string, b: string): Promise<void> {
  const topic = randomUUID()
  await pair([`${a}/trystero/default`, `${b}/trystero/default`], async (one, other) => {
    one.send({ type: 'subscribe', topic })
    one.send({ type: 'publish', topic, payload: 'one' })
    await heard(one, '"one"')
    other.send({ type: 'publish', topic, payload: 'other' })
    await heard(one, '"other"')
  })
}

async function tracker(a: string, b: string): Promise<void> {
  const [hash, first, second] = Array.from({ length: 3 }, () => randomBytes(10).toString('hex'))
  const announce = (peer: string | undefined, sdp: string): object => ({
    action: 'announce',
    info_hash: hash,
    peer_id: peer,
    numwant: 1,
    offers: [{ offer: { type: 'offer', sdp }, offer_id: 'o'.repeat(20) }],
  })
  await pair([`${a}/announce/default`, `${b}/announce/default`], async (one, other) => {
    one.send(announce(first, 'of one'))
    await heard(one, '"interval"')
    other.send(announce(second, 'of other'))
    await heard(one, 'of other')
  })
}

async function matchbox(a: string, b: string): Promise<void> {
  const room = randomUUID()
  await pair(
    [`${a}/matchbox/${room}?app=default`, `${b}/matchbox/${room}?app=default`],
    async (one, other) => {
      const offerer = await Promise.race(
        [one, other].map((peer) => heard(peer, '"NewPeer"').then(() => peer)),
      )
      const told = offerer.frames.find((frame) => frame.includes('"NewPeer"')) ?? ''
      const receiver = /"NewPeer":"([^"]+)"/.exec(told)?.[1]
      offerer.send({ Signal: { receiver, data: { Offer: 'v=0' } } })
      await heard(offerer === one ? other : one, '"Signal"')
    },
  )
}

/** Waits until Redis has nothing of the wires. Returns what stays. */
async function left({ redis }: Testbed): Promise<string | undefined> {
  const find = async (): Promise<string[]> => {
    const keys = await redis.cli('KEYS', '*')
    const channels = await redis.cli('PUBSUB', 'SHARDCHANNELS', '*')
    const uuid = /\{default[:/][\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\}/
    return [...keys.split('\n'), ...channels.split('\n')].filter(
      (name) => /:(?:y-webrtc|trystero|webtorrent|matchbox)\//.test(name) || uuid.test(name),
    )
  }
  for (const ends = Date.now() + GONE_MS; ; await new Promise((resolve) => setTimeout(resolve, POLL_MS))) {
    const found = await find()
    if (found.length === 0) return undefined
    if (Date.now() > ends) return `${found.length} keys and channels stay in Redis, such as ${found[0]}`
  }
}
