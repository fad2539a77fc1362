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

/** A stream that records each write as one buffer. */
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

/** A writer in a rush: it has written more than 500 frames on a clock that stands still. */
function rushed(maxBytes = MANY): FrameWriter {
  const writer = new FrameWriter(maxBytes, new FakeClock(), noBacklog())
  const { stream } = recorded()
  for (let n = 0; n < 501; n++) writer.write(stream, 'x')
  return writer
}

test('a single frame is written at once', () => {
  const writer = new FrameWriter(MANY, new FakeClock(), noBacklog())
  const { stream, writes } = recorded()
  writer.write(stream, 'one')
  expect(writes).toHaveLength(1)
})

describe('in a rush, the frames of one turn', () => {
  test('are one write for each peer, in order', async () => {
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

  test('are refused over the bound, and earlier frames are kept', async () => {
    const writer = rushed(10)
    const { stream, writes } = recorded()
    expect(writer.write(stream, 'x'.repeat(11))).toBe(true)
    expect(writer.write(stream, 'y')).toBe(false)
    await turn()
    expect(writes).toHaveLength(1)
    expect(writer.write(stream, 'y')).toBe(true)
  })

  test('are dropped without an error for a stream that has ended meanwhile', async () => {
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

test('a peer reads every length and every character, and a close frame after the frames that waited', async () => {
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
  // The same single frame to two peers is encoded once.
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

test('a peer reads every length and every character of frames that are written at once', async () => {
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

/** A stream that nobody reads, so that written bytes stay in it. */
function unread(): PassThrough {
  return new PassThrough({ writableHighWaterMark: 1, readableHighWaterMark: 1 })
}

test('[WC4] frames of other peers may fill half of the bound, and frames of the node all of it', () => {
  const writer = new FrameWriter(1_000, new FakeClock(), noBacklog())
  const stream = unread()
  writer.write(stream, 'first')
  let relayed = 0
  while (writer.relay(stream, '€'.repeat(20), 60)) relayed++
  expect(stream.writableLength).toBeLessThanOrEqual(500 + 100)
  expect(relayed).toBeGreaterThan(4)
  expect(writer.write(stream, 'of the node')).toBe(true)
})

test('[PJ16] [WC4] while too much waits on a node, peers that are behind get nothing from other peers', async () => {
  const clock = new FakeClock()
  const writer = new FrameWriter(MANY, clock, new Backlog(3_000, clock))
  const behind = Array.from({ length: 5 }, unread)
  // The first write passes through to the reading side, and the second one waits.
  for (const stream of behind) for (let n = 0; n < 3; n++) stream.write(Buffer.alloc(1_000))
  for (const stream of behind) writer.relay(stream, 'x', 1)
  await clock.advance(100)
  expect(behind.map((stream) => writer.relay(stream, 'x', 1))).toEqual([false, false, false, false, false])
  expect(writer.relay(unread(), 'x', 1)).toBe(true)
})

/** A peer that counts the pings that it gets. */
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

/** Sends frames of 16 KB from other peers until they must wait. */
function fill(marks: Marks, to: ReturnType<typeof marked>): number {
  let bytes = 0
  for (; !marks.isBehind; bytes += 16 * KB) marks.relayed(16 * KB, to)
  return bytes
}

test('[WC4] a ping follows every 32 KB of other peers, and they wait while 256 KB are unanswered', () => {
  const [marks, to] = [new Marks(256 * KB), marked()]
  expect(fill(marks, to)).toBe((256 + 16) * KB)
  expect(to.sent).toBe(8)
  expect(marks.answered()).toBe(true)
  expect(marks.isBehind).toBe(false)
  expect(fill(marks, to)).toBe(32 * KB)
})

test('[WC4] a frame that is longer than the remaining room is taken, and its marks are answered', () => {
  const [marks, to] = [new Marks(256 * KB), marked()]
  marks.relayed(1_000 * KB, to)
  expect(marks.isBehind).toBe(true)
  while (marks.isBehind) expect(marks.answered()).toBe(true)
  expect(fill(marks, to)).toBeGreaterThan(0)
})

test('[WC4] a peer that is behind and answers no ping between two heartbeats reads nothing', () => {
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

test('[WR4] each mark may be answered once, however late', () => {
  const [marks, to] = [new Marks(256 * KB), marked()]
  expect(marks.answered()).toBe(false)
  for (let n = 0; n < 2; n++) marks.relayed(32 * KB, to)
  expect(marks.isOut).toBe(true)
  expect([1, 2, 3].map(() => marks.answered())).toEqual([true, true, false])
  expect(marks.isOut).toBe(false)
})

test('[UW5] marks that the node itself leaves unanswered say nothing, and may be answered later', () => {
  const [marks, to] = [new Marks(256 * KB), marked()]
  marks.relayed(300 * KB, to)
  expect([marks.isBehind, marks.beat(to)]).toEqual([true, true])
  marks.forgive()
  expect([marks.isBehind, marks.isOut, marks.beat(to)]).toEqual([false, false, true])
  marks.relayed(32 * KB, to)
  for (let n = 0; n < 9; n++) expect(marks.answered()).toBe(true)
  expect(marks.isOut).toBe(true)
  expect([marks.answered(), marks.answered()]).toEqual([true, false])
})

test('[WC4] a mark that could not be sent goes out with the next heartbeat', () => {
  const [marks, to] = [new Marks(256 * KB), marked()]
  to.takes = false
  marks.relayed(300 * KB, to)
  expect([marks.isBehind, marks.answered()]).toEqual([true, false])
  to.takes = true
  expect(marks.beat(to)).toBe(true)
  while (marks.answered());
  expect(marks.isBehind).toBe(false)
})
