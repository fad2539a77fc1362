import type { Envelope } from '@peerage/core'
import { memoryCluster, systemClock } from '@peerage/core'
import type { NodeId } from '@peerage/protocol'
import { mintNodeId } from '@peerage/core'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { withLinks, type LinkedBackend } from './linked-backend.js'
import { numbered } from './testing/envelopes.js'

interface TestNode {
  id: NodeId
  backend: LinkedBackend
  received: number[]
  errors: unknown[]
  events: string[]
}

const running: LinkedBackend[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((backend) => backend.stop()))
})

async function startNode(
  store: ReturnType<typeof memoryCluster>,
  options: { plain?: boolean; most?: number; port?: number } = {},
): Promise<TestNode> {
  const [received, errors, events]: [number[], unknown[], string[]] = [[], [], []]
  const onError = (error: unknown): void => void errors.push(error)
  const backend = withLinks(store.backend({ onError }), {
    host: '127.0.0.1',
    port: 0,
    advertise: null,
    most: 256,
    plain: false,
    ...options,
    clock: systemClock,
    localAddress: () => undefined,
    onError,
    undelivered: () => undefined,
    onEvent: (event) => void events.push(event),
  })
  running.push(backend)
  const node: TestNode = { id: mintNodeId(), backend, received, errors, events }
  await backend.start(() => undefined)
  await become(node, node.id)
  return node
}

/** Gives the node a new NodeId. */
async function become(node: TestNode, id: NodeId): Promise<void> {
  node.id = id
  node.backend.identify(id)
  await node.backend.nodes.beat()
  await node.backend.bus.subscribe(id, (envelope) => void node.received.push(numberOf(envelope)))
}

function numberOf(envelope: Envelope): number {
  return envelope.type === 'superseded' ? envelope.epoch : Number.NaN
}

async function send(from: TestNode, to: TestNode, numbers: number[]): Promise<string[]> {
  return Promise.all(numbers.map((number) => from.backend.bus.publish(to.id, numbered(number))))
}

const upTo = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i)
const isUp = async (...nodes: TestNode[]): Promise<void> =>
  vi.waitFor(() => expect(nodes.map(({ backend }) => backend.links.up)).toEqual(nodes.map(() => 1)))

describe.each([
  ['TLS', false],
  ['plain', true],
])('links over %s', (_what, plain) => {
  test('[LINK5] a busy pair gets one link, and both directions go over it, in order', async () => {
    const store = memoryCluster()
    const [a, b] = [await startNode(store, { plain }), await startNode(store, { plain })]
    // Both dial at the same time.
    await Promise.all([send(a, b, upTo(20)), send(b, a, upTo(20))])
    await isUp(a, b)
    expect(new Set(await send(a, b, upTo(1_000, 20)))).toEqual(new Set(['sent']))
    expect(new Set(await send(b, a, upTo(1_000, 20)))).toEqual(new Set(['sent']))
    for (const { received } of [a, b]) await vi.waitFor(() => expect(received).toEqual(upTo(1_020)))
    for (const { backend, errors } of [a, b]) {
      expect(backend.links).toMatchObject({ up: 1, envelopes: { link: 1_000, inbox: 20 }, failures: 0 })
      expect(errors).toEqual([])
    }
  })

  test('[LINK5] a quiet pair gets no link', async () => {
    const store = memoryCluster()
    const [a, b] = [await startNode(store, { plain }), await startNode(store, { plain })]
    await send(a, b, upTo(19))
    expect(a.backend.links).toMatchObject({ up: 0, ups: 0, envelopes: { link: 0, inbox: 19 } })
  })

  test('[LINK3] a node that stops leaves no envelope unsent', async () => {
    const store = memoryCluster()
    const [a, b] = [await startNode(store, { plain }), await startNode(store, { plain })]
    await send(a, b, upTo(20))
    await isUp(a, b)
    const sent = send(a, b, upTo(500, 20))
    await a.backend.stop()
    expect(new Set(await sent)).toEqual(new Set(['sent']))
    await vi.waitFor(() => expect(b.received).toEqual(upTo(520)))
    await vi.waitFor(() => expect(b.backend.links).toMatchObject({ up: 0, downs: { ended: 1 } }))
  })

  test('[LINK7] [I7] a process with a new NodeId ends its links, and gets new ones under its new identity', async () => {
    const store = memoryCluster()
    const [a, b] = [await startNode(store, { plain }), await startNode(store, { plain })]
    await send(a, b, upTo(20))
    await isUp(a, b)
    const former = b.id
    await become(b, mintNodeId())
    expect(b.backend.links).toMatchObject({ up: 0, downs: { identity: 1 } })
    await vi.waitFor(() => expect(a.backend.links.up).toBe(0))
    expect(await a.backend.bus.publish(former, numbered(99))).toBe('unavailable')
    await send(a, b, upTo(20, 20))
    await isUp(a, b)
    await send(a, b, upTo(20, 40))
    await vi.waitFor(() => expect(b.received).toEqual(upTo(60)))
    expect(a.errors).toEqual([])
  })
})

test('[LINK9] a node with TLS and a node without make no link, and no warning is logged', async () => {
  const store = memoryCluster()
  const [a, b] = [await startNode(store, { plain: true }), await startNode(store)]
  await Promise.all([send(a, b, upTo(40)), send(b, a, upTo(40))])
  expect([a.backend.links.ups, b.backend.links.ups]).toEqual([0, 0])
  expect([...a.errors, ...b.errors]).toEqual([])
  expect(b.received).toEqual(upTo(40))
})
