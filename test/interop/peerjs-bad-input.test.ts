import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startNode, type Node } from '@peerage/test-support/node.js'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'

// Input that no PeerJS client sends. A node refuses it before it asks Redis, so there is no Redis here.

let node: Node
const peers: PeerJsPeer[] = []
let serial = 0

beforeAll(async () => {
  node = await startNode()
})
afterAll(() => node.stop())
afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.close()))
})

async function join(id: string, token?: string): Promise<PeerJsPeer> {
  const peer = await PeerJsPeer.open({ url: node.url, id, ...(token === undefined ? {} : { token }) })
  peers.push(peer)
  return peer
}

describe('bad input', () => {
  test('[PJ16] a node survives bad JSON, binary garbage and unusual characters, and logs what it dropped', async () => {
    const a = await join(`a-${serial++}`)
    for (let n = 0; n < 2_000; n++)
      a.send(n % 2 === 0 ? '{"type":' : Buffer.from([n % 256, 0xff, 0x00]).toString('latin1'))
    for (let n = 0; n < 200; n++) a.socket.send(Buffer.alloc(1_000, n), { binary: true })
    const odd = ['\u{1F600}', "'; DROP TABLE", '%00', '<script>', '__proto__', '../../etc', '{}', 'a/b', '"']
    for (const id of odd) await join(`${id}${serial++}`)
    for (const key of ['%00', '💥', '__proto__', 'x'.repeat(5_000)]) {
      const refused = new PeerJsPeer({ url: node.url, id: 'x', key })
      await refused.ended()
      expect(refused.frames[0]).toContain('Invalid key provided')
    }
    await join(`t-${serial++}`, '\u{1F511}'.repeat(500))
    a.send(offer(a.id))
    await a.next('OFFER')
    expect(await node.log((record) => record['what'] === 'malformed')).toMatchObject({
      msg: 'dropped',
      name: a.id,
    })
  })

  test('[PJ16] a frame of 1 MB ends its socket with 1009, and the log says why', async () => {
    const a = await join(`a-${serial++}`)
    a.send(offer('b', 'x'.repeat(1024 * 1024)))
    expect(await a.ended()).toMatchObject({ code: 1009 })
    expect(await node.log((record) => record['what'] === 'fault')).toMatchObject({
      code: 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH',
    })
    await join(a.id)
  })
})
