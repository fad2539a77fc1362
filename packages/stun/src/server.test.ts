import { FakeClock } from '@peerage/test-support/fake-clock.js'
/// <reference types="node" />
import { once } from 'node:events'
import { createSocket } from 'node:dgram'
import { describe, expect, it } from 'vitest'
import { bindUdp } from './bind.js'
import { seal } from './integrity.js'
import { decode, find } from './message.js'
import { createStunServer } from './server.js'
import { bindingRequest, closedAfterEach } from './testing/loopback.js'

const opened = closedAfterEach()

function reflexive(bytes: Buffer | undefined): unknown {
  const decoded = decode(bytes ?? Buffer.alloc(0))
  return decoded.ok ? find(decoded.message, 'xor-mapped-address')?.address : decoded.reason
}

describe('the server over UDP', () => {
  it.each([
    ['IPv4', '127.0.0.1', 32],
    ['IPv6', '::1', 44],
  ])('[STUN30] [STUN35] %s: a client learns its address and port', async (family, address, bytes) => {
    const { answersTo, client, server } = await opened({}, address)
    const socket = await client()
    const [answer, ...more] = await answersTo(socket, bindingRequest())
    expect(more).toEqual([])
    expect(answer?.length).toBe(bytes)
    expect(reflexive(answer)).toEqual({ family, address, port: socket.address().port })
    expect(server.counters).toMatchObject({ requests: 2, answered: 2, bytesIn: 40, bytesOut: 2 * bytes })
  })

  it('[STUN11] [STUN42] an IPv4 client of a dual-stack socket gets its IPv4 address', async () => {
    const dual = createSocket({ type: 'udp6' })
    const listening = once(dual, 'listening')
    dual.bind({ port: 0, address: '::' })
    await listening
    const server = createStunServer({ udp: [dual] })
    server.start()
    const client = await bindUdp('127.0.0.1', 0)
    const message = once(client, 'message')
    client.send(bindingRequest(), dual.address().port, '127.0.0.1')
    const [answer]: unknown[] = await message
    expect(Buffer.isBuffer(answer) && answer.length).toBe(32)
    expect(Buffer.isBuffer(answer) && reflexive(answer)).toEqual({
      family: 'IPv4',
      address: '127.0.0.1',
      port: client.address().port,
    })
    await server.stop()
    client.close()
    dual.close()
  })

  it('[STUN31] [STUN39] the server is silent, and counts each drop by its reason', async () => {
    const { answersTo, client, server } = await opened()
    const indication = bindingRequest()
    indication.writeUInt16BE(0x0011, 0)
    const badFingerprint = seal(bindingRequest(), { fingerprint: true })
    badFingerprint.writeUInt32BE(0, 24)
    const answers = await answersTo(
      await client(),
      Buffer.from('hello'),
      Buffer.alloc(0),
      Buffer.concat([Buffer.from('00010000', 'hex'), Buffer.alloc(16, 7)]),
      indication,
      badFingerprint,
      Buffer.alloc(60_000),
    )
    expect(answers).toEqual([])
    expect(server.counters).toMatchObject({
      requests: 2,
      answered: 1,
      refused: 0,
      errors: 0,
      dropped: {
        malformed: 2,
        'no-cookie': 1,
        'not-binding-request': 1,
        'bad-fingerprint': 1,
        oversized: 1,
        'no-source': 0,
        rate: 0,
        backlog: 0,
      },
    })
  })

  it.each([
    ['port 0', '127.0.0.1', 0],
    ['no IP address', 'localhost', 4_000],
  ])('[STUN31] [STUN39] silence to a source with %s', async (_, address, port) => {
    const { server, udp } = await opened()
    udp.emit('message', bindingRequest(), { address, port, family: 'IPv4', size: 20 })
    expect(server.counters).toMatchObject({
      requests: 1,
      answered: 0,
      errors: 0,
      dropped: { 'no-source': 1 },
    })
  })

  it('[STUN32] [STUN39] an answer with error 420 counts as refused', async () => {
    const { answersTo, client, server } = await opened()
    const request = bindingRequest([{ kind: 'unknown', type: 0x0003, value: Buffer.alloc(4) }])
    const [answer] = await answersTo(await client(), request)
    const decoded = decode(answer ?? Buffer.alloc(0))
    expect(decoded.ok && find(decoded.message, 'error-code')?.code).toBe(420)
    expect(server.counters).toMatchObject({ refused: 1, answered: 1 })
  })

  it('[STUN36] a request from the spoofed address of the server itself is answered once, and no loop follows', async () => {
    const { answersTo, client, server, udp } = await opened()
    // The server sends to itself: a spoofed request with the server's address looks the same.
    udp.send(bindingRequest(), udp.address().port, '127.0.0.1')
    const socket = await client()
    while (server.counters.dropped['not-binding-request'] === 0) await answersTo(socket)
    for (let i = 0; i < 10; i++) await answersTo(socket)
    expect(server.counters.dropped['not-binding-request']).toBe(1)
  })

  it('[STUN40] [STUN41] the server is silent to a flood from one source, and answers another', async () => {
    const clock = new FakeClock()
    const { client, server, udp } = await opened({ rate: { perSecond: 10, burst: 5 }, clock })
    const flooder = await client('127.0.0.1')
    const neighbour = await client('127.0.0.2')
    let answers = 0
    flooder.on('message', () => answers++)
    const port = udp.address().port
    const settled = async (): Promise<void> => {
      const message = once(neighbour, 'message')
      neighbour.send(bindingRequest(), port, '127.0.0.1')
      await message
    }
    for (let i = 0; i < 100; i++) flooder.send(bindingRequest(), port, '127.0.0.1')
    await settled()
    await settled()
    expect(server.counters.dropped.rate).toBe(95)
    clock.advanceSync(200)
    for (let i = 0; i < 10; i++) flooder.send(bindingRequest(), port, '127.0.0.1')
    await settled()
    await settled()
    expect(server.counters.dropped.rate).toBe(95 + 8)
    expect(answers).toBe(7)
  })

  it('[STUN40] garbage costs a source no token', async () => {
    const clock = new FakeClock()
    const { client, answersTo } = await opened({ rate: { perSecond: 1, burst: 1 }, clock })
    const socket = await client()
    expect(await answersTo(socket, ...Array.from({ length: 50 }, () => Buffer.from('garbage')))).toEqual([])
  })

  it('[STUN38] stop leaves the sockets open, with the listeners that they had before, and no request is answered', async () => {
    const { client, server, udp, answersTo } = await opened()
    const socket = await client()
    await answersTo(socket)
    await server.stop()
    const fresh = await client()
    const listeners = (of: typeof udp): unknown[] =>
      of.eventNames().map((name) => [name, of.listenerCount(name)])
    expect(listeners(udp)).toEqual(listeners(fresh))
    const received = once(udp, 'message')
    socket.send(bindingRequest(), udp.address().port, '127.0.0.1')
    await received
    expect(server.counters.answered).toBe(1)
    await server.stop()
  })

  it('[STUN38] an error of a socket is reported and counted, and the server goes on', async () => {
    const errors: string[] = []
    const { client, server, udp, answersTo } = await opened({
      onError: (error, { stage }) => errors.push(`${stage}: ${error.message}`),
    })
    udp.emit('error', new Error('recvmsg EIO'))
    expect(errors).toEqual(['udp-receive: recvmsg EIO'])
    expect(server.counters.errors).toBe(1)
    expect(await answersTo(await client())).toEqual([])
  })

  it('[STUN56] a socket error before the start or after the stop does not end the process', async () => {
    const udp = await bindUdp('127.0.0.1', 0)
    const server = createStunServer({ udp: [udp] })
    expect(() => udp.emit('error', new Error('recvmsg EIO'))).not.toThrow()
    server.start()
    await server.stop()
    expect(() => udp.emit('error', new Error('recvmsg EIO'))).not.toThrow()
    expect(server.counters.errors).toBe(0)
    udp.close()
  })

  it('cannot be started twice', async () => {
    const { server } = await opened()
    expect(() => server.start()).toThrow('has been started')
  })

  it('bindUdp rejects with EADDRINUSE if the port is in use', async () => {
    const { udp } = await opened()
    await expect(bindUdp('127.0.0.1', udp.address().port)).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })
})
