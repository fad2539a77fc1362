import { memoryCluster } from '@peerage/core'
import { afterEach, describe, expect, test } from 'vitest'
import { RawPeer, closeNative, startNative } from '../../testing/native-fixture.js'

afterEach(closeNative)

const stream = 'A'.repeat(11)

interface Joined {
  name: string
  peer: RawPeer
  since: unknown
}

async function joined(url: string, name: string): Promise<Joined> {
  const peer = new RawPeer(url)
  const { since } = await peer.claim({ name })
  return { name, peer, since }
}

/** Alice, who claims to be an application server, Bob on the same node, and Carol on another node of the cluster. */
async function peers(): Promise<{ alice: RawPeer; others: Joined[] }> {
  const cluster = memoryCluster()
  const [one, two] = [
    await startNative({ backend: cluster.backend() }),
    await startNative({ backend: cluster.backend() }),
  ]
  const { peer: alice } = await joined(one.url, 'alice')
  return { alice, others: [await joined(one.url, 'bob'), await joined(two.url, 'carol')] }
}

describe('[WD20] a peer cannot set the mark of an application server', () => {
  test('in a `send`, neither for a peer of the same node nor for one of another', async () => {
    const { alice, others } = await peers()
    for (const { name, peer, since } of others) {
      const message = { to: name, since, stream, seq: 1, base: 1, kind: 'message', body: 'x' }
      alice.send('send', { ...message, server: true })
      const got = await peer.event('message')
      expect(got).toMatchObject({ from: 'alice', body: 'x' })
      expect(got).not.toHaveProperty('server')
    }
  })

  test('in a `say`, neither for a member at the same node nor for one at another', async () => {
    const { alice, others } = await peers()
    for (const peer of [alice, ...others.map((other) => other.peer)]) {
      peer.send('join', { id: 1, room: 'hall' })
      await peer.event('roomed')
    }
    alice.send('say', { id: 2, room: 'hall', body: 'x', server: true })
    for (const { peer } of others) {
      const got = await peer.event('said')
      expect(got).toMatchObject({ room: 'hall', from: 'alice', body: 'x' })
      expect(got).not.toHaveProperty('server')
    }
  })
})
