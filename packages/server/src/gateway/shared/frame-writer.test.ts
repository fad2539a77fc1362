import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { PassThrough, type Duplex } from 'node:stream'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { Backlog, FrameWriter, Marks } from './frame-writer.js'

const KB = 1024
const MANY = 1 << 20
const noBacklog = (): Backlog => new Backlog(0, new FakeClock())
const endings: (() => void)[] = []
afterEach(() => {
  for (const end of endings.splice(0)) end()
})

/** A stream that keeps each write as one piece. */
function recorded(): { stream: Duplex; writes: Buffer[] } {
  const writes: Buffer[] = []
  const stream = new PassThrough()
  stream.on('data', (chunk: Buffer) => void writes.push(chunk))
  return { stream, writes }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

async function opened(): Promise<{ client: WebSocket; server: WebSocket; stream: Duplex }> {
  const http: Server = createServer()
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  const upgraded = new Promise<{ server: WebSocket; stream: Duplex }>((resolve) =>
    http.on('upgrade', (request, stream, head) =>
      wss.handleUpgrade(request, stream, head, (server) => resolve({ server, stream })),
    ),
  )
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const address = http.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const client = new WebSocket(`ws://127.0.0.1:${address.port}`)
  const [{ server, stream }] = await Promise.all([upgraded, once(client, 'open')])
  endings.push(() => {
    client.terminate()
    http.close()
  })
  return { client, server, stream }
}

/** A writer in a rush: over a clock that stands still, one that has written so many frames already. */
function rushed(mostBytes = MANY): FrameWriter {
  const writer = new FrameWriter(mostBytes, new FakeClock(), noBacklog())
  const { stream } = recorded()
  for (let n = 0; n < 501; n++) writer.write(stream, 'x')
  return writer
}

test('a frame by itself is written at once', () => {
  const writer = new FrameWriter(MANY, new FakeClock(), noBacklog())
  const { stream, writes } = recorded()
  writer.write(stream, 'one')
  expect(writes).toHaveLength(1)
})

describe('in a rush, frames of a turn', () => {
  test('are one write a peer, in order', async () => {
    const writer = rushed()
    const [a, b] = [recorded(), recorded()]
    for (const text of ['one', 'two', 'three']) writer.write(a.stream, text)
    writer.write(b.stream, 'one')
    expect(a.writes).toEqual([])
    await turn()
    expect(a.writes.map(String)).toEqual([
      '\u0081\u0003one\u0081\u0003two\u0081\u0005three'.replaceAll('\u0081', '\uFFFD'),
    ])
    expect(b.writes).toHaveLength(1)
    writer.write(a.stream, 'next')
    await turn()
    expect(a.writes).toHaveLength(2)
  })

  test('over the bound are refused, and the frames before stay', async () => {
    const writer = rushed(10)
    const { stream, writes } = recorded()
    expect(writer.write(stream, 'x'.repeat(11))).toBe(true)
    expect(writer.write(stream, 'y')).toBe(false)
    await turn()
    expect(writes).toHaveLength(1)
    expect(writer.write(stream, 'y')).toBe(true)
  })

  test('of a stream that has ended meanwhile are dropped without an error', async () => {
    const writer = rushed()
    const [ended, other] = [recorded(), recorded()]
    writer.write(ended.stream, 'x')
    writer.write(other.stream, 'x')
    ended.stream.destroy()
    await turn()
    expect(ended.writes).toEqual([])
    expect(other.writes).toHaveLength(1)
  })
})

test('a client reads every length and every character, and a close frame after what waited', async () => {
  const { client, server, stream } = await opened()
  const writer = rushed()
  const texts = [
    '',
    'x'.repeat(125),
    'x'.repeat(126),
    'ä€😀'.repeat(40),
    'y'.repeat(65_535),
    'z'.repeat(65_536),
    'same',
  ]
  const got: string[] = []
  client.on('message', (data: Buffer) => void got.push(data.toString()))
  const closed = once(client, 'close')
  for (const text of texts) writer.write(stream, text)
  await turn()
  // One frame alone, to two peers: encoded once.
  const second = await opened()
  const alone = once(second.client, 'message')
  writer.write(stream, 'both')
  writer.write(second.stream, 'both')
  expect(String((await alone)[0])).toBe('both')
  writer.write(stream, 'last')
  writer.flush(stream)
  server.close(4000)
  expect((await closed)[0]).toBe(4000)
  expect(got).toEqual([...texts, 'both', 'last'])
})

test('a client reads every length and every character of frames that wait for nothing', async () => {
  const { client, stream } = await opened()
  const clock = new FakeClock()
  const writer = new FrameWriter(MANY, clock, noBacklog())
  const texts = [
    '',
    ...[125, 126, 65_535, 65_536].flatMap((length) => ['x'.repeat(length), 'ä'.repeat(length)]),
  ]
  const got: string[] = []
  client.on('message', (data: Buffer) => void got.push(data.toString()))
  for (const text of texts) {
    writer.write(stream, text)
    clock.advanceSync(1)
  }
  writer.write(stream, 'last')
  const closed = once(client, 'close')
  stream.end()
  await closed
  expect(got).toEqual([...texts, 'last'])
})

/** A peer that reads nothing: what is written stays. */
function unread(): PassThrough {
  return new PassThrough({ writableHighWaterMark: 1, readableHighWaterMark: 1 })
}

test('[WC4] what others send fills half of the bound, what the node says all of it', () => {
  const writer = new FrameWriter(1_000, new FakeClock(), noBacklog())
  const stream = unread()
  writer.write(stream, 'first')
  let relayed = 0
  while (writer.relay(stream, '€'.repeat(20), 60)) relayed++
  expect(stream.writableLength).toBeLessThanOrEqual(500 + 100)
  expect(relayed).toBeGreaterThan(4)
  expect(writer.write(stream, 'of the node')).toBe(true)
})

test('[PJ16] [WC4] while too much waits on a node, those who are behind get nothing from others', async () => {
  const clock = new FakeClock()
  const writer = new FrameWriter(MANY, clock, new Backlog(3_000, clock))
  const behind = Array.from({ length: 5 }, unread)
  // The first write goes through to the reading side, the second waits.
  for (const stream of behind) for (let n = 0; n < 3; n++) stream.write(Buffer.alloc(1_000))
  for (const stream of behind) writer.relay(stream, 'x', 1)
  await clock.advance(100)
  expect(behind.map((stream) => writer.relay(stream, 'x', 1))).toEqual([false, false, false, false, false])
  expect(writer.relay(unread(), 'x', 1)).toBe(true)
})

/** Who is asked by marks whether it still reads. */
function marked() {
  return {
    sent: 0,
    takes: true,
    sendPing(): boolean {
      if (this.takes) this.sent++
      return this.takes
    },
  }
}

/** Others send in frames of 16 KB, as long as they need not wait. */
function fill(marks: Marks, to: ReturnType<typeof marked>): number {
  let bytes = 0
  for (; !marks.isBehind; bytes += 16 * KB) marks.relayed(16 * KB, to)
  return bytes
}

test('[WC4] a ping follows every 32 KB of others; they wait while 256 KB have no answer', () => {
  const [marks, to] = [new Marks(256 * KB), marked()]
  expect(fill(marks, to)).toBe((256 + 16) * KB)
  expect(to.sent).toBe(8)
  expect(marks.answered()).toBe(true)
  expect(marks.isBehind).toBe(false)
  expect(fill(marks, to)).toBe(32 * KB)
})

test('[WC4] a frame that is longer than what is left goes through, and is answered for', () => {
  const [marks, to] = [new Marks(256 * KB), marked()]
  marks.relayed(1_000 * KB, to)
  expect(marks.isBehind).toBe(true)
  while (marks.isBehind) expect(marks.answered()).toBe(true)
  expect(fill(marks, to)).toBeGreaterThan(0)
})

test('[WC4] who is behind and answers nothing between two beats reads nothing', () => {
  const [marks, to] = [new Marks(256 * KB), marked()]
  fill(marks, to)
  expect(marks.beat(to)).toBe(true)
  marks.answered()
  fill(marks, to)
  expect(marks.beat(to)).toBe(true)
  marks.reads()
  expect(marks.beat(to)).toBe(true)
  expect(marks.beat(to)).toBe(false)
})

test('[WR4] each mark may be answered once, however late, and no more', () => {
  const [marks, to] = [new Marks(256 * KB), marked()]
  expect(marks.answered()).toBe(false)
  for (let n = 0; n < 2; n++) marks.relayed(32 * KB, to)
  expect(marks.isOut).toBe(true)
  expect([1, 2, 3].map(() => marks.answered())).toEqual([true, true, false])
  expect(marks.isOut).toBe(false)
})

test('[WC4] a mark that found no room goes out with the next heartbeat', () => {
  const [marks, to] = [new Marks(256 * KB), marked()]
  to.takes = false
  marks.relayed(300 * KB, to)
  expect([marks.isBehind, marks.answered()]).toEqual([true, false])
  to.takes = true
  expect(marks.beat(to)).toBe(true)
  while (marks.answered());
  expect(marks.isBehind).toBe(false)
})
