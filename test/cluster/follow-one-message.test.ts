import { readFile } from 'node:fs/promises'
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { Node, RegistryUnavailable, Router, defaultTimes, systemClock } from '@peerage/core'
import { parseApp, parseConnectionId, parseName, peerOf } from '@peerage/protocol'
import { createRedisBackend } from '@peerage/redis'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import {
  NativeConnection,
  type NativeHost,
  NativeFrames,
  OwnedWebSocket,
  WebSocketConnection,
  FrameWriter,
  Limits,
} from '@peerage/test-support/testing/server.js'
import { RedisBus, RedisRegistry } from '@peerage/test-support/testing/redis.js'
import { startTopology, topologies, type Deployment } from '@peerage/test-support/redis-topologies.js'

const README = new URL('../../README.md', import.meta.url)

/** Every method that the README's section names, and the file it names it in. */
async function told(): Promise<{ files: string[]; steps: string[] }> {
  const section = (await readFile(README, 'utf8')).split('## Follow one message')[1]?.split('\n## ')[0] ?? ''
  const lines = section.split('\n').filter((line) => /^\d\. /.test(line))
  return {
    files: lines.flatMap((line) => /`(packages\/[^`]+\.ts)`/.exec(line)?.[1] ?? []),
    steps: lines.flatMap((line) => [...line.matchAll(/`([A-Z]\w+\.\w+)`/g)].map((match) => match[1] ?? '')),
  }
}

const walked: string[] = []
const unwatch: (() => void)[] = []
let redis: Deployment
let nodes: Node[]

/** Notes every call of a method, and lets it run. */
function watch<T extends object>(prototype: T, type: string, method: keyof T & string): void {
  const real: unknown = Reflect.get(prototype, method)
  if (typeof real !== 'function') throw new Error(`${type} has no method ${method}`)
  unwatch.push(() =>
    Object.defineProperty(prototype, method, { configurable: true, writable: true, value: real }),
  )
  Object.defineProperty(prototype, method, {
    configurable: true,
    value(this: T, ...args: unknown[]): unknown {
      walked.push(`${type}.${method}`)
      return Reflect.apply(real, this, args)
    },
  })
}

describe.each(topologies)('Follow one message, %s', (topology) => {
  beforeAll(async () => {
    redis = await startTopology(topology)
    nodes = []
    for (let i = 0; i < 2; i++) {
      const onError = (error: unknown): void => {
        // A machine that pauses makes a beat late: the next one tries again.
        if (!(error instanceof RegistryUnavailable)) throw error
      }
      const backend = createRedisBackend({ url: redis.url, times: defaultTimes, clock: systemClock, onError })
      const node = new Node({
        backend,
        times: defaultTimes,
        clock: systemClock,
        claimMs: 10_000,
        mailboxMs: 5_000,
        onError,
        onEvent: () => {},
      })
      await node.start()
      nodes.push(node)
    }
    await vi.waitFor(() => expect(nodes.every((node) => node.readiness().ready)).toBe(true), {
      timeout: 10_000,
    })
  })

  afterAll(async () => {
    for (const restore of unwatch.splice(0)) restore()
    walked.length = 0
    for (const node of nodes) await node.stop()
    await redis.stop()
  })

  test('the way that the README tells is the way that a message goes', async () => {
    const { files, steps } = await told()
    expect(files).toHaveLength(7)
    for (const file of files) {
      const source = await readFile(new URL(`../../${file}`, import.meta.url), 'utf8')
      for (const step of steps) {
        const [type, method] = step.split('.')
        if (source.includes(`class ${type} `) || source.includes(`class ${type}<`))
          expect(source).toMatch(new RegExp(`^ {2}(async )?${method}\\(`, 'm'))
      }
    }
    const [a, b] = nodes
    if (!a || !b) throw new Error('two nodes were started')
    const alice = await arrive(a, '1', 'alice')
    const bob = await arrive(b, '2', 'bob')
    watch(WebSocketConnection.prototype, 'WebSocketConnection', 'received')
    watch(NativeFrames.prototype, 'NativeFrames', 'receive')
    watch(Router.prototype, 'Router', 'route')
    watch(RedisRegistry.prototype, 'RedisRegistry', 'lookup')
    watch(RedisBus.prototype, 'RedisBus', 'publish')
    watch(Router.prototype, 'Router', 'receive')
    watch(NativeConnection.prototype, 'NativeConnection', 'send')
    watch(FrameWriter.prototype, 'FrameWriter', 'relay')
    const since = b.sessions.online(bob.peer)?.lease.since
    const send = {
      to: 'bob',
      since,
      stream: 'A'.repeat(11),
      seq: 1,
      base: 1,
      kind: 'message',
      body: '"hello"',
    }
    alice.connection.received(Buffer.from(`42${JSON.stringify(['send', send])}`), false)
    await vi.waitFor(() => expect(bob.written.some((frame) => frame.includes('hello'))).toBe(true), {
      timeout: 10_000,
    })
    expect(walked).toEqual(steps)
  })
})

const nothing = (): void => {}
const none = { messagesPerSecond: 0, bytesPerSecond: 0, signalBytesPerSecond: 0, lookupsPerSecond: 0 }
const noLimits = new Limits(
  {
    connection: none,
    name: { messagesPerSecond: 0, failuresPerMinute: 0 },
    address: { connections: 0, connectsPerSecond: 0, lookupsPerSecond: 0, failuresPerMinute: 0 },
    node: { connections: 0, connectsPerSecond: 0, bufferedBytes: 0 },
  },
  systemClock,
)

/** What a connection needs of its gateway. */
function hostOf(node: Node): NativeHost {
  const metrics = {
    connected: nothing,
    registered: nothing,
    routed: nothing,
    rejected: nothing,
    closed: nothing,
    handshake: nothing,
  }
  const relay = { bytesPerSecond: 0, messageBytes: 1_000 }
  const malformed = (): void => {
    throw new Error('the frame of this test is malformed')
  }
  const options = {
    node,
    clock: systemClock,
    limits: noLimits,
    metrics,
    log: nothing,
    relay,
    turn: () => null,
    commandMs: 800,
    onError: (error: unknown) => {
      throw error
    },
  }
  return {
    ...options,
    writer: new FrameWriter(1_000_000, systemClock, noLimits.backlog),
    bufferedBytes: 1_000_000,
    frames: new NativeFrames(options, { malformed }),
    entry: { connect: nothing, malformed },
    ended: nothing,
  }
}

async function arrive(
  node: Node,
  connectionId: string,
  called: string,
): Promise<{ connection: NativeConnection; peer: ReturnType<typeof peerOf>; written: string[] }> {
  const [id, app, name] = [parseConnectionId(connectionId), parseApp('default'), parseName(called)]
  if (!id.ok || !app.ok || !name.ok) throw new Error('a name of this test is no name')
  const written: string[] = []
  // A socket that keeps what is written: the wire itself is the gateway test's subject.
  const stream = new PassThrough().on('data', (chunk: Buffer) => written.push(chunk.toString()))
  const socket: OwnedWebSocket = Object.create(OwnedWebSocket.prototype, {
    readyState: { value: WebSocket.OPEN },
    close: { value: nothing },
  })
  const request = new IncomingMessage(new Socket())
  const arrival = { id: id.value, socket, stream, request, address: '127.0.0.1' }
  const connection = new NativeConnection(arrival, hostOf(node))
  node.open(connection)
  const peer = peerOf(app.value, name.value)
  const outcome = await node.claim(connection, { peer, secret: `secret of ${called}`, policy: 'refuse' })
  if (!outcome.ok) throw new Error(outcome.code)
  return { connection, peer, written }
}
