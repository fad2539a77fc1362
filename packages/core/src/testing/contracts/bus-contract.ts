import type { NodeId } from '@peerage/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeEnvelope } from '../../routing/encode.js'
import type { Envelope, Message } from '../../routing/message.js'
import type { ContractCluster, ContractNode, MakeCluster } from '../cluster.js'
import { poolNamed } from './pools-contract.js'
import { newConnectionId, newNodeId, newPeer, patient, until } from '../cluster.js'

type Inbox = ContractNode & { received: Envelope[] }

/** The contract of `Bus`, for every implementation. */
export function busContract(name: string, makeCluster: MakeCluster): void {
  describe(`bus contract: ${name}`, () => {
    let cluster: ContractCluster
    beforeAll(async () => {
      cluster = await makeCluster(patient)
    })
    afterAll(() => cluster.stop())

    const inbox = async (): Promise<Inbox> => {
      const node = await cluster.join()
      const received: Envelope[] = []
      await node.backend.bus.subscribe(node.node, (envelope) => received.push(envelope))
      return { ...node, received }
    }
    const arrived = (at: Inbox, count: number): Promise<number> =>
      until(cluster, `${count} envelopes arrive`, () => at.received.length >= count)

    test('an envelope of each type arrives whole, and only at the node that it is addressed to', async () => {
      const [a, b, c] = [await inbox(), await inbox(), await inbox()]
      const sent = oneOfEach(a.node)
      for (const envelope of sent) expect(await a.backend.bus.publish(b.node, envelope)).toBe('sent')
      await arrived(b, sent.length)
      expect(b.received).toEqual(sent)
      await fence(cluster, a, c)
      expect(c.received).toHaveLength(1)
    })

    test('a node may publish to itself', async () => {
      const a = await inbox()
      expect(await a.backend.bus.publish(a.node, numbered(1))).toBe('sent')
      await arrived(a, 1)
      expect(a.received).toEqual([numbered(1)])
    })

    test('envelopes from one node to another arrive once, in the order of their publishes', async () => {
      const [a, b] = [await inbox(), await inbox()]
      const count = 500
      // Acknowledgements may wait to be batched, and messages must not overtake them.
      const mixed = (i: number): Envelope =>
        i % 3 === 0 ? deliver({ kind: 'ack', frame: `${i}` }) : numbered(i)
      const results: Promise<string>[] = []
      for (let i = 0; i < count; i++) {
        results.push(a.backend.bus.publish(b.node, mixed(i)))
        // Some envelopes are sent in one turn and some in several turns, because a batch must not overtake earlier
        // envelopes.
        if (i % 7 === 0) await Promise.resolve()
        if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      expect(new Set(await Promise.all(results))).toEqual(new Set(['sent']))
      await arrived(b, count)
      await fence(cluster, a, b)
      expect(b.received.slice(0, -1)).toEqual(Array.from({ length: count }, (_, i) => mixed(i)))
    })

    test('a frame arrives unchanged: quotes, line breaks, any script, 64 KiB', async () => {
      const [a, b] = [await inbox(), await inbox()]
      const frames = [
        '',
        '"\\\n\r\0\x1f\x1b',
        '名前 🙂 é',
        '*3\r\n$3\r\nSET\r\n',
        'x'.repeat(65_536),
        '🙂'.repeat(16_384),
      ]
      for (const frame of frames) await a.backend.bus.publish(b.node, deliver({ frame }))
      await arrived(b, frames.length)
      expect(b.received).toEqual(frames.map((frame) => deliver({ frame })))
    })

    test('[CALL8] each envelope of a batch for a node that does not exist is unavailable, and others are sent', async () => {
      const [a, b] = [await inbox(), await inbox()]
      const nobody = newNodeId()
      const batch = Array.from({ length: 50 }, (_, i) => a.backend.bus.publish(nobody, numbered(i)))
      expect(new Set(await Promise.all(batch))).toEqual(new Set(['unavailable']))
      expect(await a.backend.bus.publish(b.node, numbered(1))).toBe('sent')
      await arrived(b, 1)
      expect(b.received).toEqual([numbered(1)])
    })

    test('[I7] a new identity has an inbox of its own, and nobody listens at the former one', async () => {
      const [a, b] = [await inbox(), await inbox()]
      const former = b.node
      const next = newNodeId()
      b.backend.identify(next)
      await b.backend.bus.subscribe(next, (envelope) => b.received.push(envelope))
      await a.backend.bus.publish(former, numbered(0))
      await a.backend.bus.publish(next, numbered(1))
      await arrived(b, 1)
      await fence(cluster, a, { ...b, node: next })
      expect(b.received.slice(0, -1)).toEqual([numbered(1)])
      await until(
        cluster,
        'nobody listens at the former inbox',
        async () => (await a.backend.bus.publish(former, numbered(2))) === 'unavailable',
      )
    })

    test('an error of the receiver is reported, and the next envelope arrives', async () => {
      const a = await inbox()
      const b = await cluster.join()
      const received: Envelope[] = []
      await b.backend.bus.subscribe(b.node, (envelope) => {
        received.push(envelope)
        if (received.length === 1) throw new Error('the receiver failed')
      })
      await a.backend.bus.publish(b.node, numbered(0))
      await a.backend.bus.publish(b.node, numbered(1))
      await until(cluster, 'both arrive', () => received.length === 2)
      expect(b.errors).toMatchObject([{ error: new Error('the receiver failed') }])
    })

    test('after close nothing arrives', async () => {
      const [a, b] = [await inbox(), await inbox()]
      await b.backend.bus.close()
      await a.backend.bus.publish(b.node, numbered(0))
      await fence(cluster, a, a)
      expect(b.received).toEqual([])
    })

    test('[F23] a payload that is not an envelope is reported and dropped, and the next envelope arrives', async () => {
      const [a, b] = [await inbox(), await inbox()]
      const later = encodeEnvelope(numbered(7)).replace(/^./u, 'z')
      const junk = ['x', '{"type":"deliver"}', '\0\0\0\0', 'd5:5:abc', 's8:0:a/b\x1fC\x1f12', later]
      for (const payload of junk) await cluster.publishRaw(b.node, payload)
      await a.backend.bus.publish(b.node, numbered(1))
      await arrived(b, 1)
      expect(b.received).toEqual([numbered(1)])
      expect(b.errors).toHaveLength(junk.length)
      expect(new Set(b.errors.map((error) => error.stage))).toEqual(new Set(['bus receive']))
    })
  })
}

// When this envelope has arrived, earlier ones have arrived or never will: an inbox keeps the order of one sender.
async function fence(cluster: ContractCluster, from: Inbox, to: Inbox): Promise<void> {
  const mark = numbered(Number.MAX_SAFE_INTEGER)
  await from.backend.bus.publish(to.node, mark)
  await until(cluster, 'the last envelope arrives', () =>
    to.received.some((envelope) => envelope.type === 'superseded' && envelope.epoch === mark.epoch),
  )
}

const somebody = newPeer()
const someConnection = newConnectionId()

function numbered(epoch: number): Extract<Envelope, { type: 'superseded' }> {
  return { type: 'superseded', peer: somebody, connection: someConnection, epoch }
}

function deliver(message: Partial<Message>): Envelope {
  const whole: Message = {
    from: somebody,
    to: somebody,
    wire: 'native',
    kind: 'message',
    frame: '',
    ...message,
  }
  return { type: 'deliver', epoch: 1, hops: 0, message: whole }
}

function oneOfEach(node: NodeId): Envelope[] {
  const message: Message = {
    from: newPeer(),
    to: newPeer(),
    wire: 'native',
    since: 1_800_000_000_001,
    fresh: true,
    hold: true,
    kind: 'signal',
    handshake: 'h1',
    reply: { node, connection: someConnection, ref: 'stream:12' },
    frame: '42["message",{}]',
  }
  return [
    { type: 'deliver', epoch: 1_800_000_000_002, hops: 0, message },
    { type: 'gone', epoch: 1_800_000_000_002, hops: 2, message },
    { type: 'notice', connection: someConnection, to: newPeer(), ref: 'stream:12', code: 'away' },
    { type: 'superseded', peer: newPeer(), connection: someConnection, epoch: 1_800_000_000_003 },
    { type: 'moved', connection: someConnection, pool: poolNamed('swarm'), member: 'm-1', since: 7 },
    {
      type: 'hand',
      connection: someConnection,
      pool: poolNamed('swarm'),
      member: 'm-1',
      frame: '{"a":"\x1f"}',
    },
  ]
}
