import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { memoryUsage } from 'node:process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createPeerage } from '@peerage/server'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { startTopology, topologies, type Deployment } from '@peerage/test-support/redis-topologies.js'

// Short times that still pass `checkTimes` of core.
const times = {
  beatMs: 100,
  nodeLeaseMs: 1_000,
  pingIntervalMs: 400,
  pingTimeoutMs: 200,
  graceMs: 1_000,
  deadlineMs: 1_000,
  nameTtlMs: 3_000,
}
const BATCH = 250
/** Only noise may be left on the heap, independent of the number of peers. Each peer took over 6,000 bytes. */
const LEFT_BYTES = 1_200_000

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')

function heapBytes(): number {
  if (typeof collect !== 'function') throw new Error('no gc')
  for (let i = 0; i < 4; i++) collect()
  return memoryUsage().heapUsed
}

interface Wire {
  path: string
  first: string
  hello: (name: string) => string | undefined
  until: string
}

/** The native wire's frame for a refusal. PeerJS's wire only closes. */
const REFUSED = '44'

const wires: Record<string, Wire> = {
  native: {
    path: '/peerage/?EIO=4&transport=websocket',
    first: '0',
    hello: (name) => `40${JSON.stringify({ v: 1, name, secret: 's'.repeat(22) })}`,
    until: '42["welcome"',
  },
  peerjs: {
    path: '/peerjs?key=peerjs&version=1.5.5&token=t&id=',
    first: '',
    hello: () => undefined,
    until: '{"type":"OPEN"',
  },
}

async function connectAndKill(port: number, wire: Wire, name: string): Promise<void> {
  const suffix = wire.path.endsWith('id=') ? name : ''
  // If the machine pauses, the node's lease of one second may lapse, and it refuses peers until its next beat.
  for (let welcomed = false; !welcomed;) {
    const ws = new WebSocket(`ws://127.0.0.1:${port}${wire.path}${suffix}`)
    const closed = new Promise((resolve) => ws.on('close', resolve))
    welcomed = await new Promise<boolean>((resolve, reject) => {
      ws.on('error', reject)
      void closed.then(() => resolve(false))
      ws.on('message', (data: Buffer) => {
        const frame = data.toString()
        const hello = wire.first !== '' && frame.startsWith(wire.first) ? wire.hello(name) : undefined
        if (hello !== undefined) ws.send(hello)
        if (frame.startsWith(wire.until)) resolve(true)
        if (frame.startsWith(REFUSED)) resolve(false)
      })
    })
    // The connection ends without a close frame, as when a peer is killed.
    ws.terminate()
    await closed
  }
}

describe.each(topologies)('leaks, %s', (topology) => {
  // During the warm-up V8 still compiles and keeps a megabyte for it. Node 22 takes longer than Node 20.
  const [warmUp, connects] = topology === 'standalone' ? [6_000, 14_000] : [1_500, 3_000]
  let redis: Deployment
  beforeAll(async () => {
    redis = await startTopology(topology)
  })
  afterAll(() => redis.stop())

  test.each(Object.keys(wires))(
    `[I16] ${connects} connects and kills of %s peers leave no key, session, timer or heap behind`,
    async (kind) => {
      const wire = wires[kind]
      if (!wire) throw new Error(kind)
      const http = createServer()
      const peerage = createPeerage({
        redis: { url: redis.url, prefix: `leak-${kind}:` },
        links: { host: '127.0.0.1' },
        times,
        p2p: { useAsP2PServer: false },
        limits: { node: { connectsPerSecond: 0 } },
        peerjs: { concurrentLimit: 0 },
        log: { level: 'silent' },
      })
      peerage.attach(http)
      http.listen(0, '127.0.0.1')
      await once(http, 'listening')
      const { port } = http.address() as AddressInfo
      await peerage.ready()
      const go = async (from: number, to: number): Promise<void> => {
        for (let i = from; i < to; i += BATCH)
          await Promise.all(
            Array.from({ length: Math.min(BATCH, to - i) }, (_, j) =>
              connectAndKill(port, wire, `peer-${i + j}`),
            ),
          )
        // When every name's grace has ended, only the set of nodes and the node's announcement are left.
        await vi.waitFor(
          async () => {
            const keys = await redis.keys(`leak-${kind}:*`)
            // In a Cluster each master also holds a mark with the time of its creation.
            expect(keys.filter((key) => !/:(?:birth|node):/u.test(key))).toEqual([`leak-${kind}:nodes`])
          },
          {
            timeout: 20_000,
            interval: 100,
          },
        )
      }
      const timersOf = (): number =>
        process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
      await go(0, warmUp)
      const [heap, timers] = [heapBytes(), timersOf()]
      await go(warmUp, connects)
      expect(heapBytes() - heap).toBeLessThan(LEFT_BYTES)
      // At any moment a few commands are in flight, each with a timer for its deadline.
      await vi.waitFor(() => expect(timersOf()).toBeLessThanOrEqual(timers + 2), {
        timeout: 5_000,
        interval: 20,
      })
      // Its lease of one second may have lapsed, too. The next beat announces it again.
      await vi.waitFor(async () => expect(await redis.keys(`leak-${kind}:node:*`)).toHaveLength(1), {
        timeout: 5_000,
        interval: 20,
      })
      await peerage.stop()
      expect(await redis.keys(`leak-${kind}:node:*`)).toEqual([])
      http.close()
      http.closeAllConnections()
      expect(http.listenerCount('upgrade')).toBe(0)
    },
    300_000,
  )
})
