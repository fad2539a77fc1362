import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { listenTcp } from './bind.js'
import { Frames } from './frames.js'
import { decode, encode, find } from './message.js'
import { createStunServer } from './server.js'
import { plainMessages } from './testing/arbitraries.js'
import { bindingRequest, closedAfterEach, readAll, readBytes } from './testing/loopback.js'

const opened = closedAfterEach()

/** Writes each part as a segment of its own: the next part leaves when the kernel has taken the previous one. */
async function writeInParts(socket: Socket, parts: readonly Buffer[]): Promise<void> {
  socket.setNoDelay(true)
  for (const part of parts) {
    await new Promise<void>((resolve) => socket.write(part, () => setImmediate(resolve)))
  }
}

describe('frames', () => {
  it('[STUN50] a stream cut anywhere yields its messages, whole and in order', () => {
    const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 40 })
    fc.assert(
      fc.property(fc.array(plainMessages, { maxLength: 6 }), cuts, (messages, lengths) => {
        const sent = messages.map((message) => encode(message))
        const stream = Buffer.concat(sent)
        const frames = new Frames(65_536)
        const got: Buffer[] = []
        let at = 0
        for (const length of [...lengths, stream.length]) {
          const read = stream.subarray(at, at + length)
          at += read.length
          expect(frames.push(read, (message) => got.push(Buffer.from(message)))).toBe(true)
          const longest = Math.max(0, ...sent.map((bytes) => bytes.length))
          expect(frames.held).toBeLessThan(Math.max(1, longest))
        }
        expect(got).toEqual(sent)
        expect(frames.held).toBe(0)
      }),
      { numRuns: 500 },
    )
  })

  it('[STUN51] a broken stream is refused at the first byte that shows it', () => {
    const push = (hex: string): boolean => new Frames(1_280).push(Buffer.from(hex, 'hex'), () => undefined)
    expect(push('00')).toBe(true)
    expect(push('40')).toBe(false)
    expect(push('00010004')).toBe(true)
    expect(push('00010003')).toBe(false)
    expect(push('000104ec')).toBe(true)
    expect(push('000104f0')).toBe(false)
    expect(push('000100002112a442')).toBe(true)
    expect(push('000100002112a443')).toBe(false)
  })
})

describe('the server over TCP', () => {
  it.each([
    ['IPv4', '127.0.0.1', 32],
    ['IPv6', '::1', 44],
  ])('[STUN50] %s: the server answers, and the connection stays open', async (family, address, bytes) => {
    const { connect, server } = await opened({}, address)
    const socket = await connect()
    for (let round = 1; round <= 2; round++) {
      socket.write(bindingRequest())
      const decoded = decode(await readBytes(socket, bytes))
      expect(decoded.ok && find(decoded.message, 'xor-mapped-address')?.address).toEqual({
        family,
        address,
        port: socket.localPort,
      })
      expect(server.counters).toMatchObject({ answered: round, connections: 1 })
    }
  })

  it('[STUN50] requests that arrive together, or one byte at a time, are answered', async () => {
    const { connect } = await opened()
    const socket = await connect()
    const requests = Array.from({ length: 50 }, () => bindingRequest())
    socket.write(Buffer.concat(requests))
    const answers = await readBytes(socket, 50 * 32)
    requests.forEach((request, index) => {
      expect(answers.subarray(32 * index + 8, 32 * index + 20)).toEqual(request.subarray(8))
    })
    const slow = bindingRequest([{ kind: 'software', text: 'one byte at a time' }])
    const answer = readBytes(socket, 32)
    await writeInParts(
      socket,
      [...slow].map((byte) => Buffer.from([byte])),
    )
    expect((await answer).subarray(8, 20)).toEqual(slow.subarray(8, 20))
  })

  it('[STUN50] a client that ends the connection right after its request gets its answer', async () => {
    const { connect } = await opened()
    const socket = await connect()
    socket.end(bindingRequest())
    expect((await readAll(socket)).length).toBe(32)
  })

  it.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['TLS', Buffer.from('16030100f4010000f00303', 'hex')],
    ['classic STUN', Buffer.concat([Buffer.from('00010000', 'hex'), Buffer.alloc(16, 7)])],
    ['a message of 65,535 bytes', Buffer.from('0001ffff2112a442', 'hex')],
    ['a message of 1284 bytes', Buffer.from('000104f02112a442', 'hex')],
  ])('[STUN51] %s: the connection is closed without an answer', async (_, bytes) => {
    const { connect, server } = await opened()
    const socket = await connect()
    socket.write(bytes)
    expect((await readAll(socket)).length).toBe(0)
    expect(server.counters.dropped.malformed).toBe(1)
  })

  it('[STUN31] the server is silent to an indication, and the connection stays open', async () => {
    const { connect } = await opened()
    const socket = await connect()
    const indication = bindingRequest()
    indication.writeUInt16BE(0x0011, 0)
    const request = bindingRequest()
    socket.write(Buffer.concat([indication, request]))
    expect((await readBytes(socket, 32)).subarray(8, 20)).toEqual(request.subarray(8))
  })

  it('[STUN52] a connection without an answer for idleMs is closed, even if bytes arrive', async () => {
    const clock = new FakeClock()
    const { connect, server } = await opened({ clock, tcpLimits: { idleMs: 30_000 } })
    const socket = await connect()
    socket.write(bindingRequest())
    await readBytes(socket, 32)
    clock.advanceSync(20_000)
    socket.write(bindingRequest())
    await readBytes(socket, 32)
    const closed = readAll(socket)
    clock.advanceSync(20_000)
    expect(server.counters.connections).toBe(1)
    // The server receives an indication and a part of a request before the time is over.
    const before = server.counters.bytesIn
    const indication = bindingRequest()
    indication.writeUInt16BE(0x0011, 0)
    socket.write(Buffer.concat([indication, bindingRequest().subarray(0, 10)]))
    while (server.counters.bytesIn === before) await new Promise((resolve) => setImmediate(resolve))
    clock.advanceSync(9_999)
    expect(clock.pending).toBe(1)
    clock.advanceSync(1)
    await closed
    while (server.counters.connections > 0) await new Promise((resolve) => setImmediate(resolve))
    expect(clock.pending).toBe(0)
  })

  it('[STUN53] connections over the limit are closed at once, and a connection that closes makes room', async () => {
    const { connect, server } = await opened({ tcpLimits: { connections: 2, connectionsPerSource: 10 } })
    const first = await connect()
    await connect()
    const third = await connect()
    expect((await readAll(third)).length).toBe(0)
    expect(server.counters).toMatchObject({ connections: 2, connectionsRefused: 1 })
    first.end()
    await once(first.resume(), 'close')
    while (server.counters.connections === 2) await new Promise((resolve) => setImmediate(resolve))
    const fourth = await connect()
    fourth.write(bindingRequest())
    expect((await readBytes(fourth, 32)).length).toBe(32)
  })

  it('[STUN53] one source cannot take all connections', async () => {
    const { connect, server } = await opened({ tcpLimits: { connections: 10, connectionsPerSource: 2 } })
    const first = await connect('127.0.0.1')
    await connect('127.0.0.1')
    await readAll(await connect('127.0.0.1'))
    const neighbour = await connect('127.0.0.2')
    neighbour.write(bindingRequest())
    await readBytes(neighbour, 32)
    expect(server.counters).toMatchObject({ connections: 3, connectionsRefused: 1 })
    // A source that closes a connection may open another.
    first.destroy()
    while (server.counters.connections === 3) await new Promise((resolve) => setImmediate(resolve))
    const again = await connect('127.0.0.1')
    again.write(bindingRequest())
    await readBytes(again, 32)
  })

  it('[STUN54] a client that does not read its answers is closed', async () => {
    const { connect, server } = await opened()
    const socket = await connect()
    socket.pause()
    const many = Buffer.concat(Array.from({ length: 500 }, () => bindingRequest()))
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    const pump = (): void => {
      if (!socket.destroyed && server.counters.dropped.backlog === 0)
        socket.write(many, () => setImmediate(pump))
    }
    pump()
    while (server.counters.connections > 0 || server.counters.dropped.backlog === 0) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    socket.resume()
    await closed
  })

  it('[STUN40] the bucket of a source counts UDP and TCP together', async () => {
    const clock = new FakeClock()
    const { connect, client, server, udp } = await opened({ clock, rate: { perSecond: 1, burst: 3 } })
    const socket = await connect()
    socket.write(Buffer.concat([bindingRequest(), bindingRequest()]))
    await readBytes(socket, 64)
    const datagrams = await client()
    const message = once(datagrams, 'message')
    datagrams.send(bindingRequest(), udp.address().port, '127.0.0.1')
    await message
    datagrams.send(bindingRequest(), udp.address().port, '127.0.0.1')
    while (server.counters.dropped.rate === 0) await new Promise((resolve) => setImmediate(resolve))
    expect(server.counters).toMatchObject({ requests: 4, answered: 3, dropped: { rate: 1 } })
  })

  it('[STUN38] stop resolves when every connection is closed, and leaves no timer', async () => {
    const clock = new FakeClock()
    const { connect, server } = await opened({ clock })
    const sockets = [await connect(), await connect()]
    for (const socket of sockets) {
      socket.write(bindingRequest())
      await readBytes(socket, 32)
    }
    expect(clock.pending).toBe(2)
    const closed = sockets.map((socket) => readAll(socket))
    await server.stop()
    expect(server.counters.connections).toBe(0)
    expect(clock.pending).toBe(0)
    await Promise.all(closed)
  })
})

describe('connections that no STUN server takes', () => {
  it('[STUN55] [STUN56] before the start and after the stop they are closed, and an accept error ends nothing', async () => {
    const tcp = await listenTcp('127.0.0.1', 0)
    const address = tcp.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const server = createStunServer({ tcp: [tcp] })
    const come = async (): Promise<void> => {
      const client = connect(port, '127.0.0.1')
      client.on('error', () => {})
      await new Promise((resolve) => client.once('close', resolve).resume())
      expect(() => tcp.emit('error', new Error('accept EMFILE'))).not.toThrow()
    }
    await come()
    server.start()
    await server.stop()
    await come()
    tcp.close()
  })
})
