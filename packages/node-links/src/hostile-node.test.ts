import type { Backend, MemoryCluster } from '@peerage/core'
import { encodeEnvelope, memoryCluster, mintNodeId, systemClock } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import fc from 'fast-check'
import { EventEmitter, once } from 'node:events'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { encodeFrame } from './frames.js'
import type { Proven } from './link.js'
import { withLinks, type LinkedBackend } from './linked-backend.js'
import { soon, TestEndpoint } from './testing/test-endpoint.js'
import { numbered } from './testing/envelopes.js'

// A node that has a proof and then breaks the rules. Anyone who can write to the store can run one.

const records = (...numbers: number[]): string => numbers.map((one) => encodeEnvelope(numbered(one))).join('')
const NUMBER_MOST = 2 ** 48 - 1

interface Node {
  id: NodeId
  backend: LinkedBackend
  received: number[]
  errors: unknown[]
  /** `link up` and `link down`. */
  events: EventEmitter
}

let store: MemoryCluster
let victim: Node
let honest: Node
let rogue: TestEndpoint
/** With this backend the rogue node publishes to inboxes. */
let inbox: Backend

async function startNode(): Promise<Node> {
  const [id, received, errors]: [NodeId, number[], unknown[]] = [mintNodeId(), [], []]
  const events = new EventEmitter()
  const onError = (error: unknown): void => void errors.push(error)
  const backend = withLinks(store.backend({ onError }), {
    host: '127.0.0.1',
    port: 0,
    advertise: null,
    most: 256,
    plain: false,
    clock: systemClock,
    localAddress: () => undefined,
    onError,
    undelivered: () => undefined,
    onEvent: (event) => void events.emit(event),
  })
  await backend.start(() => undefined)
  backend.identify(id)
  await backend.nodes.beat()
  await backend.bus.subscribe(id, (envelope) => {
    received.push(envelope.type === 'superseded' ? envelope.epoch : Number.NaN)
  })
  return { id, backend, received, errors, events }
}

beforeEach(async () => {
  store = memoryCluster()
  ;[victim, honest] = [await startNode(), await startNode()]
  rogue = await TestEndpoint.open(store, { plain: false, isOpen: true })
  inbox = store.backend()
  inbox.identify(rogue.node)
  await inbox.bus.subscribe(rogue.node, () => undefined)
})

// Whatever the rogue node did, two other nodes can link.
afterEach(async () => {
  const sends = Array.from({ length: 20 }, (_, i) =>
    honest.backend.bus.publish(victim.id, numbered(1_000 + i)),
  )
  await Promise.all(sends)
  await vi.waitFor(() => expect(honest.backend.links.up).toBe(1), soon)
  expect(await honest.backend.bus.publish(victim.id, numbered(1_020))).toBe('sent')
  expect(honest.backend.links.envelopes.link).toBe(1)
  const all = Array.from({ length: 21 }, (_, i) => 1_000 + i)
  await vi.waitFor(() => expect(victim.received.slice(-21)).toEqual(all), soon)
  await Promise.all([victim.backend.stop(), honest.backend.stop(), rogue.close(), inbox.stop()])
})

/** Makes a link of the rogue node. It has sent number 1 over the inbox, so the victim expects number 2. */
async function link(): Promise<{ socket: Proven['socket']; ended: Promise<void> }> {
  await inbox.bus.publish(victim.id, numbered(1), { node: rogue.node, number: 1 })
  const up = once(victim.events, 'link up')
  const proven = await rogue.endpoint.dial(victim.id)
  if (proven === undefined) throw new Error('it took no link')
  const { socket } = proven
  const ended = new Promise<void>((resolve) => {
    socket.on('close', resolve)
    socket.on('error', () => undefined)
    socket.on('data', () => undefined)
    socket.resume()
  })
  await up
  return { socket, ended }
}

describe('[LINK12] a node that breaks the rules', () => {
  test('is heard as long as it keeps them', async () => {
    const { socket } = await link()
    socket.write(encodeFrame(0, 2, records(2, 3)))
    await vi.waitFor(() => expect(victim.received).toEqual([1, 2, 3]), soon)
  })

  test.each([0, 11, 64 * 1024 * 1024 + 1, 2 ** 32 - 1])(
    'loses its link with a frame of length %d',
    async (length) => {
      const { socket, ended } = await link()
      const head = Buffer.alloc(4)
      head.writeUInt32BE(length)
      socket.write(head)
      await ended
      expect(victim.backend.links.downs).toMatchObject({ ended: 1 })
      expect(victim.received).toEqual([1])
    },
  )

  test('causes an error with a record that is not an envelope, and its next envelope is taken', async () => {
    const { socket } = await link()
    socket.write(encodeFrame(0, 2, 'no envelope'))
    socket.write(encodeFrame(0, 3, records(3)))
    await vi.waitFor(() => expect(victim.received).toEqual([1, 3]), soon)
    expect(victim.backend.links.malformed).toBe(1)
    expect(victim.errors).toHaveLength(1)
  })

  test('cannot deliver an envelope under a number that was taken before', async () => {
    const { socket } = await link()
    socket.write(encodeFrame(0, 2, records(2)))
    for (const first of [0, 1, 2]) socket.write(encodeFrame(0, first, records(90)))
    socket.write(encodeFrame(0, 3, records(3)))
    await vi.waitFor(() => expect(victim.received).toEqual([1, 2, 3]), soon)
    expect(victim.backend.links.repeated).toBe(3)
  })

  test.each([
    ['much', records(5).repeat(200_000), 6],
    ['many', 'x', 400_000],
  ])('sends numbers far ahead, which wait until they are too %s', async (_, held, times) => {
    const { socket, ended } = await link()
    const frame = encodeFrame(0, NUMBER_MOST, held)
    socket.write(Buffer.alloc(frame.length * times, frame))
    await ended
    expect(victim.backend.links.downs).toMatchObject({ full: 1 })
    expect(victim.received).toEqual([1])
  })

  test('harms only itself by confirming what was never sent', async () => {
    const { socket } = await link()
    const { bus } = victim.backend
    expect(await bus.publish(rogue.node, numbered(1))).toBe('sent')
    void bus.publish(rogue.node, numbered(2))
    socket.write(encodeFrame(NUMBER_MOST, 0, ''))
    // Envelopes that the rogue node does not confirm go over the inbox later.
    await vi.waitFor(async () => {
      await bus.publish(rogue.node, numbered(3))
      expect(victim.backend.links.up).toBe(0)
    }, soon)
    expect(victim.backend.links.downs).toMatchObject({ unconfirmed: 1 })
  })

  test('ends only its own links, whatever its frames hold', async () => {
    const number = fc.oneof(fc.nat(10), fc.constantFrom(NUMBER_MOST - 1, NUMBER_MOST))
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(records(7), records(7).slice(1)))
    const frame = fc.tuple(number, number, text)
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 20 }), fc.uint8Array(), async (frames, garbage) => {
        const { socket, ended } = await link()
        const down = once(victim.events, 'link down')
        for (const [confirmed, first, held] of frames) socket.write(encodeFrame(confirmed, first, held))
        socket.write(Buffer.from(garbage))
        socket.destroy()
        await Promise.all([ended, down])
        expect(victim.backend.links.up).toBe(0)
      }),
      { numRuns: 20 },
    )
  })
})
