import { FakeClock } from '@peerage/test-support/fake-clock.js'
import type { Socket } from 'node:dgram'
import { getEventListeners, once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { bindUdp } from './bind.js'
import { seal } from './integrity.js'
import { type Message, decode, encode } from './message.js'
import { type QueryOptions, type QueryResult, queryBinding, retransmissionWaits } from './query.js'
import { loopback } from './testing/loopback.js'

const open: Socket[] = []

async function bound(address = '127.0.0.1'): Promise<Socket> {
  const socket = await bindUdp(address, 0)
  open.push(socket)
  return socket
}

afterEach(() => {
  for (const socket of open.splice(0)) socket.close()
})

/** A socket that answers each request with `respond`, and keeps the requests in `seen`. */
async function responder(
  respond: (request: Message, nth: number) => readonly Buffer[],
): Promise<{ port: number; seen: Message[]; socket: Socket }> {
  const socket = await bound()
  const seen: Message[] = []
  socket.on('message', (bytes, from) => {
    const decoded = decode(bytes)
    if (!decoded.ok) throw new Error(decoded.reason)
    seen.push(decoded.message)
    for (const answer of respond(decoded.message, seen.length)) socket.send(answer, from.port, from.address)
  })
  return { port: socket.address().port, seen, socket }
}

function success(request: Message, port: number): Buffer {
  return encode({
    ...request,
    class: 'success',
    attributes: [{ kind: 'xor-mapped-address', address: { family: 'IPv4', address: '192.0.2.1', port } }],
  })
}

async function query(port: number, options: Partial<QueryOptions> = {}): Promise<QueryResult> {
  const socket = options.socket ?? (await bound())
  const listeners = (): number[] => ['message', 'error', 'close'].map((name) => socket.listenerCount(name))
  const before = listeners()
  const result = await queryBinding({ socket, address: '127.0.0.1', port, ...options })
  if (options.signal !== undefined) expect(getEventListeners(options.signal, 'abort')).toEqual([])
  expect(listeners()).toEqual(before)
  return result
}

describe('a query', () => {
  it.each([
    ['127.0.0.1', false, 32],
    ['127.0.0.1', true, 40],
    ['::1', false, 44],
    ['::1', true, 52],
  ])('[STUN62] our own server at %s answers it, fingerprint %s', async (address, fingerprint, bytes) => {
    const { udp, close } = await loopback({}, address)
    const socket = await bound(address)
    const result = await query(udp.address().port, { socket, address, fingerprint })
    expect(result).toMatchObject({
      kind: 'answered',
      reflexive: { address, port: socket.address().port },
      attempts: 1,
      bytes,
    })
    await close()
  })

  it('[STUN60] the waits are the ones of RFC 8489', () => {
    const waits = retransmissionWaits(500, 7, 16)
    let atMs = 0
    expect(waits.map((waitMs) => (atMs += waitMs))).toEqual([
      500, 1_500, 3_500, 7_500, 15_500, 31_500, 39_500,
    ])
  })

  it('[STUN60] sends again while no answer comes, and ends as timeout', async () => {
    const clock = new FakeClock()
    const { port, seen, socket } = await responder(() => [])
    const result = query(port, { clock })
    for (const waitMs of retransmissionWaits(500, 7, 16)) {
      await once(socket, 'message')
      clock.advanceSync(waitMs - 1)
      expect(clock.pending).toBe(1)
      clock.advanceSync(1)
    }
    expect(await result).toEqual({ kind: 'timeout', attempts: 7 })
    expect(clock.monotonic()).toBe(39_500)
    expect(seen.length).toBe(7)
    const ids = new Set(seen.map(({ transactionId }) => Buffer.from(transactionId).toString('hex')))
    expect(ids.size).toBe(1)
    expect(clock.pending).toBe(0)
  })

  it('[STUN60] an answer to the third request counts, and the round trip is measured from that request', async () => {
    const clock = new FakeClock()
    const { port, socket } = await responder((request, nth) => (nth === 3 ? [success(request, 7)] : []))
    const result = query(port, { clock })
    for (const waitMs of [500, 1_000]) {
      await once(socket, 'message')
      clock.advanceSync(waitMs)
    }
    expect(await result).toMatchObject({
      kind: 'answered',
      attempts: 3,
      roundTripMs: 0,
      reflexive: { port: 7 },
    })
  })

  it('[STUN61] ignores answers of another transaction, class, method or server, and garbage', async () => {
    const stranger = await bound()
    const socket = await bound()
    const { port } = await responder((request) => {
      stranger.send(success(request, 1), socket.address().port, '127.0.0.1')
      return [
        Buffer.from('garbage'),
        success({ ...request, transactionId: Buffer.alloc(12) }, 2),
        encode({ ...request, class: 'indication', attributes: [] }),
        encode({ ...request, class: 'request', attributes: [] }),
        success({ ...request, method: 2 }, 3),
      ]
    })
    const controller = new AbortController()
    let received = 0
    socket.on('message', () => {
      received++
      // The query has received one datagram from the stranger and five from the server, and still waits.
      if (received === 6) controller.abort()
    })
    const result = await queryBinding({ socket, address: '127.0.0.1', port, signal: controller.signal })
    expect(result).toEqual({ kind: 'aborted' })
  })

  it('[STUN61] with a fingerprint in its request, accepts only an answer that has one', async () => {
    const { port, seen } = await responder((request) => [
      success(request, 1),
      seal(success(request, 2), { fingerprint: true }),
    ])
    expect(await query(port, { fingerprint: true })).toMatchObject({
      kind: 'answered',
      reflexive: { port: 2 },
    })
    expect(seen[0]?.attributes.map(({ kind }) => kind)).toEqual(['fingerprint'])
  })

  it('[STUN62] ends as refused, with the code of the error', async () => {
    const { port } = await responder((request) => [
      encode({ ...request, class: 'error', attributes: [{ kind: 'error-code', code: 420, reason: 'no' }] }),
    ])
    expect(await query(port)).toEqual({ kind: 'refused', code: 420, reason: 'no' })
  })

  it('[STUN62] ends as refused if a success names no address; MAPPED-ADDRESS is enough', async () => {
    const bare = await responder((request) => [encode({ ...request, class: 'success', attributes: [] })])
    expect(await query(bare.port)).toMatchObject({ kind: 'refused', code: 0 })
    const address = { family: 'IPv4', address: '192.0.2.1', port: 9 } as const
    const old = await responder((request) => [
      encode({ ...request, class: 'success', attributes: [{ kind: 'mapped-address', address }] }),
    ])
    expect(await query(old.port)).toMatchObject({ kind: 'answered', reflexive: address })
  })

  it('[STUN62] after an answer it no longer listens to the signal', async () => {
    const { port } = await responder((request) => [success(request, 1)])
    expect(await query(port, { signal: new AbortController().signal })).toMatchObject({ kind: 'answered' })
  })

  it('[STUN62] ends as aborted, before it starts and while it waits', async () => {
    const { port, socket } = await responder(() => [])
    expect(await query(port, { signal: AbortSignal.abort() })).toEqual({ kind: 'aborted' })
    const clock = new FakeClock()
    const controller = new AbortController()
    const result = query(port, { clock, signal: controller.signal })
    await once(socket, 'message')
    controller.abort()
    expect(await result).toEqual({ kind: 'aborted' })
    expect(clock.pending).toBe(0)
  })

  it('[STUN62] ends as failed: no IP address, a socket that is closed, closes, or has the wrong family', async () => {
    const { port, socket: server } = await responder(() => [])
    expect(await query(port, { address: 'localhost' })).toMatchObject({ kind: 'failed' })
    const closed = await bindUdp('127.0.0.1', 0)
    closed.close()
    expect(await query(port, { socket: closed })).toMatchObject({ kind: 'failed' })
    const closing = await bindUdp('127.0.0.1', 0)
    const result = query(port, { socket: closing })
    await once(server, 'message')
    closing.close()
    expect(await result).toMatchObject({ kind: 'failed' })
    expect(await query(port, { socket: await bound('::1') })).toMatchObject({ kind: 'failed' })
  })
})
