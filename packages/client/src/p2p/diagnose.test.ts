import { createSocket } from 'node:dgram'
import type { Socket } from 'node:dgram'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../lib/clock.js'
import { diagnose } from './diagnose.js'
import type { DiagnoseOptions, Gatherer } from './diagnose.js'
import { loadNodeDataChannel } from '../platform/node-rtc.js'
import { failure } from '../testing/controllers.js'

const sockets: Socket[] = []
afterEach(() => sockets.splice(0).forEach((socket) => socket.close()))

/** A STUN server that claims to see everyone at 203.0.113.7 and the given port (RFC 8489 §14.2). */
async function stunServer(port: number): Promise<string> {
  const socket = createSocket('udp4')
  sockets.push(socket)
  socket.on('message', (request, from) => {
    const response = Buffer.alloc(32)
    response.writeUInt16BE(0x0101, 0)
    response.writeUInt16BE(12, 2)
    request.copy(response, 4, 4, 20)
    response.writeUInt16BE(0x0020, 20)
    response.writeUInt16BE(8, 22)
    response.writeUInt8(1, 25)
    response.writeUInt16BE(port ^ 0x2112, 26)
    response.writeUInt32BE((0xcb007107 ^ 0x2112a442) >>> 0, 28)
    socket.send(response, from.port, from.address)
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return `127.0.0.1:${socket.address().port}`
}

async function silentServer(): Promise<string> {
  const socket = createSocket('udp4')
  sockets.push(socket)
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return `127.0.0.1:${socket.address().port}`
}

const stun = (server: string): RTCIceServer => ({ urls: `stun:${server}` })
const turn = (server: string): RTCIceServer => ({
  urls: [`turn:${server}`],
  username: '1:a',
  credential: 'x',
})

async function run(servers: RTCIceServer[], { timeoutMs = 4_000, signal }: DiagnoseOptions = {}) {
  const PeerConnection = await loadNodeDataChannel()
  const make = (configuration: RTCConfiguration): RTCPeerConnection => new PeerConnection(configuration)
  return diagnose(servers, make, systemClock, { timeoutMs, signal })
}

type Listener = (event: { candidate: { candidate: string } | null }) => void

/** Connections behind a NAT. `ports` tells which port the NAT shows to each server, by the host of the server. */
function natted(
  ports: Record<string, number>,
  host = '192.0.2.2',
  outside = '203.0.113.7',
): (configuration: RTCConfiguration) => Gatherer {
  return ({ iceServers = [] }) => {
    const candidates: Listener[] = []
    const changes: Listener[] = []
    const found = (address: string, port: number | undefined, type: string, base = ''): void => {
      const candidate = `candidate:1 1 udp 1 ${address} ${port} typ ${type}${base}`
      for (const listener of candidates) listener({ candidate: { candidate } })
    }
    return {
      iceGatheringState: 'complete',
      restartIce: () => undefined,
      addEventListener(type: string, listener: Listener) {
        if (type === 'icecandidate') candidates.push(listener)
        else changes.push(listener)
      },
      createDataChannel: () => undefined,
      createOffer: () => Promise.resolve({ type: 'offer', sdp: '' }),
      async setLocalDescription() {
        found(host, 4000, 'host')
        for (const { urls } of iceServers) {
          const [kind, server = ''] = String(urls).split(':')
          found(outside, ports[server], 'srflx', ` raddr ${host} rport 4000`)
          if (kind === 'turn') found('198.51.100.3', 50_000, 'relay', ' raddr 0.0.0.0 rport 0')
        }
        for (const listener of changes) listener({ candidate: null })
      },
      close: () => undefined,
    }
  }
}

describe('diagnose', () => {
  it('writes a reflexive IPv6 address in brackets', async () => {
    const make = natted({ a: 5000 }, '192.0.2.2', '2001:db8::1')
    expect((await diagnose([stun('a:1')], make, systemClock, {})).reflexive).toEqual(['[2001:db8::1]:5000'])
  })

  it.each([
    ['endpoint-independent', 'the same port to all servers', { a: 5000, b: 5000 }],
    ['address-dependent', 'another port to each server', { a: 5000, b: 6000 }],
  ])('[PP23] reports the mapping %s for a NAT that shows %s', async (mapping, _, ports) => {
    const diagnosis = await diagnose([stun('a:1'), turn('b:1')], natted(ports), systemClock, {})
    expect(diagnosis).toMatchObject({ mapping, stun: { answers: true }, turn: { answers: true }, advice: [] })
    expect(diagnosis.reflexive).toContain('203.0.113.7:5000')
  })

  it('reports that there is no NAT', async () => {
    const make = natted({ a: 4000 }, '203.0.113.7')
    expect(await diagnose([stun('a:1')], make, systemClock, {})).toMatchObject({
      mapping: 'no-nat',
      advice: [],
    })
  })

  it('reports a TURN server that gives no relay address', async () => {
    const diagnosis = await run([stun(await stunServer(5000)), turn(await stunServer(5000))])
    expect(diagnosis).toMatchObject({ stun: { answers: true }, turn: { answers: false } })
    expect(diagnosis.advice).toEqual([expect.stringContaining('gives no relay')])
  })

  it('reports a TURN server that the stack cannot use, and does not probe another port instead', async () => {
    const diagnosis = await run([{ urls: ['turns:127.0.0.1:9'], username: 'u', credential: 'c' }])
    expect(diagnosis).toMatchObject({ turn: { server: 'turns:127.0.0.1:9', answers: false } })
    expect(diagnosis.advice).toEqual([
      expect.stringContaining('This WebRTC stack cannot use turns:127.0.0.1:9'),
    ])
  })

  it('[PP23] reports the mapping unknown if only one server answers', async () => {
    const diagnosis = await run([stun(await stunServer(5000))])
    expect(diagnosis).toMatchObject({ mapping: 'unknown', turn: null, advice: [] })
  })

  it('[PP23] tells which server is silent, and what to do', async () => {
    const server = await silentServer()
    const diagnosis = await run([stun(server)], { timeoutMs: 1_000 })
    expect(diagnosis).toMatchObject({
      mapping: 'blocked',
      stun: { server: `stun:${server}`, answers: false },
    })
    expect(diagnosis.advice).toEqual([
      expect.stringContaining(`stun:${server} does not answer`),
      expect.stringContaining('TURN'),
    ])
  })

  it('rejects with the reason of its AbortSignal', async () => {
    const abort = new AbortController()
    const waiting = failure(run([stun(await silentServer())], { signal: abort.signal }))
    abort.abort(new Error('enough'))
    expect((await waiting).message).toBe('enough')
  })
})
