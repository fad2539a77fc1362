import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { Envelope, Message } from '@peerage/core'
import { decodeEnvelopes } from '@peerage/core'
import { newConnectionId, newNodeId, newPeer } from '@peerage/test-support/testing/core.js'
import { expect, test } from 'vitest'
import { RedisBus, defaultBusLimits } from './bus.js'
import { Keys } from './keys.js'

/**
 * A bus whose publishes are recorded, each with the refs of its messages. Each is answered at once: `heard`
 * subscribers.
 */
function newBus(heard = 1) {
  const clock = new FakeClock()
  const published: { channel: string; refs: string[] }[] = []
  const bus = new RedisBus({
    publishing: {
      connected: true,
      publish: (channel, payload) => {
        const refs: string[] = []
        decodeEnvelopes(payload, (envelope) => {
          if (envelope.type === 'deliver') refs.push(envelope.message.reply?.ref ?? '')
        })
        published.push({ channel, refs })
        return Promise.resolve(heard)
      },
    },
    subscriptions: {
      active: true,
      connected: true,
      want: () => Promise.resolve(),
      drop: () => undefined,
      clients: () => [],
      rebuild: () => undefined,
      canaries: () => [],
    },
    keys: new Keys('pg:'),
    clock,
    commandMs: 1_000,
    limits: defaultBusLimits,
    onCanary: () => undefined,
    onError: (error) => expect.unreachable(String(error)),
  })
  const refs = (): string[][] => published.map((publish) => publish.refs)
  return { bus, clock, published, refs }
}

const [from, to] = [newPeer(), newPeer()]
const reply = { node: newNodeId(), connection: newConnectionId() }

function numbered(kind: Message['kind'], ref: string): Envelope {
  const message: Message = { from, to, wire: 'native', kind, reply: { ...reply, ref }, frame: '' }
  return { type: 'deliver', epoch: 1, hops: 0, message }
}

test('[CALL5] a single acknowledgement is sent at once', async () => {
  const { bus, clock, refs } = newBus()
  const node = newNodeId()
  expect(await bus.publish(node, numbered('ack', '1'))).toBe('sent')
  await clock.advance(5)
  expect(await bus.publish(node, numbered('ack', '2'))).toBe('sent')
  expect(refs()).toEqual([['1'], ['2']])
})

test('[CALL5] a waiting acknowledgement is sent with the next message to its node, before it', async () => {
  const { bus, clock, refs } = newBus()
  const node = newNodeId()
  await bus.publish(node, numbered('message', '1'))
  await clock.advance(4)
  const acknowledged = bus.publish(node, numbered('ack', '2'))
  await clock.advance(1)
  expect(refs()).toEqual([['1']])
  expect(await bus.publish(node, numbered('message', '3'))).toBe('sent')
  expect(await acknowledged).toBe('sent')
  expect(refs()).toEqual([['1'], ['2', '3']])
})

test('[CALL5] acknowledgements wait for at most 5 ms, and those to all nodes are sent together', async () => {
  const { bus, clock, published } = newBus()
  const [one, other] = [newNodeId(), newNodeId()]
  await bus.publish(one, numbered('message', '1'))
  void bus.publish(one, numbered('ack', '2'))
  await clock.advance(3)
  void bus.publish(other, numbered('ack', '3'))
  void bus.publish(one, numbered('ack', '4'))
  await clock.advance(1)
  expect(published).toHaveLength(1)
  await clock.advance(1)
  expect(published.slice(1)).toEqual([
    { channel: `pg:inbox:${one}`, refs: ['2', '4'] },
    { channel: `pg:inbox:${other}`, refs: ['3'] },
  ])
  expect(clock.pending).toBeLessThanOrEqual(1)
})

test('[CALL5] a message to another node does not send a waiting acknowledgement', async () => {
  const { bus, clock, refs } = newBus()
  const [one, other] = [newNodeId(), newNodeId()]
  await bus.publish(one, numbered('message', '1'))
  void bus.publish(one, numbered('ack', '2'))
  await bus.publish(other, numbered('message', '3'))
  expect(refs()).toEqual([['1'], ['3']])
  await clock.advance(5)
  expect(refs()).toEqual([['1'], ['3'], ['2']])
})

test('[CALL8] each envelope of a publish that nobody hears is unavailable', async () => {
  const { bus, clock, refs } = newBus(0)
  const node = newNodeId()
  expect(await bus.publish(node, numbered('message', '1'))).toBe('unavailable')
  const batch = ['2', '3'].map((ref) => bus.publish(node, numbered('ack', ref)))
  await clock.advance(5)
  expect(await Promise.all(batch)).toEqual(['unavailable', 'unavailable'])
  expect(refs()).toEqual([['1'], ['2', '3']])
})

test('envelopes that wait when the bus closes are unavailable', async () => {
  const { bus, clock } = newBus()
  const node = newNodeId()
  await bus.publish(node, numbered('message', '1'))
  const waiting = bus.publish(node, numbered('ack', '2'))
  await bus.close()
  expect(await waiting).toBe('unavailable')
  expect(clock.pending).toBe(0)
})
