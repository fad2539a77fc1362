// The pages of the transfer comparison. Each defines `globalThis.mover`, whose members the bench calls.

/** Moves bytes from the first page to the second. */
export interface Mover {
  /** Registers the page under a name at the node or server on this port. */
  here(port: number, name: string, channels?: number): Promise<void>
  /** The host, of Peerage: the secret part of its link. */
  share?(): string
  /** The guest, of Peerage: resolves when it is connected. */
  join?(name: string, fragment: string): Promise<void>
  /** The receiver: resolves with the seconds from the first call to the last byte. */
  receive(bytes: number): Promise<number>
  /** The sender: sends this many bytes to the peer of this name. */
  send(to: string, bytes: number): Promise<void>
}

/**
 * A plain data channel, as an example in a tutorial would write it, with the back-pressure that it needs. The bench
 * carries descriptions and candidates between the two pages.
 */
export const RAW_ENTRY = `
const PART_BYTES = 65536
const connection = new RTCPeerConnection()
const channel = connection.createDataChannel('raw', { negotiated: true, id: 0 })
channel.binaryType = 'arraybuffer'
const opened = new Promise((resolve) => (channel.onopen = resolve))
const candidates = []
const gathered = new Promise((resolve) => {
  connection.onicecandidate = ({ candidate }) => (candidate ? candidates.push(candidate.toJSON()) : resolve())
})
const described = async () => {
  await connection.setLocalDescription()
  await gathered
  const sdp = connection.localDescription.sdp.split('\\r\\n').filter((line) => !line.startsWith('a=candidate')).join('\\r\\n')
  return { type: connection.localDescription.type, sdp, candidates }
}
const take = async ({ type, sdp, candidates }) => {
  await connection.setRemoteDescription({ type, sdp })
  for (const candidate of candidates) await connection.addIceCandidate(candidate)
}
globalThis.raw = {
  offer: described,
  answer: async (offer) => {
    await connection.setRemoteDescription({ type: offer.type, sdp: offer.sdp })
    const answer = await described()
    for (const candidate of offer.candidates) await connection.addIceCandidate(candidate)
    return answer
  },
  take,
}
globalThis.mover = {
  here: async () => {},
  receive: (bytes) => new Promise((resolve) => {
    const start = performance.now()
    let received = 0
    channel.onmessage = ({ data }) => {
      received += data.byteLength
      if (received >= bytes) resolve((performance.now() - start) / 1000)
    }
  }),
  send: async (_, bytes) => {
    await opened
    const part = crypto.getRandomValues(new Uint8Array(PART_BYTES))
    channel.bufferedAmountLowThreshold = 262144
    for (let left = bytes; left > 0; left -= PART_BYTES) {
      if (channel.bufferedAmount > 1048576) await new Promise((resolve) => (channel.onbufferedamountlow = resolve))
      channel.send(part)
    }
  },
}
`

/** PeerJS cuts each message into pieces of about 16 KB. Messages of 1 MiB wait until the channel has room. */
export const PEERJS_ENTRY = `
import Peer from 'peerjs'
const MESSAGE_BYTES = 1048576
let peer
globalThis.mover = {
  here: (port, name) => new Promise((resolve, reject) => {
    peer = new Peer(name, { host: '127.0.0.1', port, path: '/', config: { iceServers: [] } })
    peer.on('open', () => resolve())
    peer.on('error', reject)
  }),
  receive: (bytes) => new Promise((resolve) => {
    const start = performance.now()
    let received = 0
    peer.once('connection', (connection) => {
      connection.on('data', (data) => {
        received += data.byteLength
        if (received >= bytes) {
          connection.close()
          resolve((performance.now() - start) / 1000)
        }
      })
    })
  }),
  send: async (to, bytes) => {
    const connection = peer.connect(to, { reliable: true })
    await new Promise((resolve) => connection.on('open', resolve))
    const message = crypto.getRandomValues(new Uint8Array(65536))
    const whole = new Uint8Array(MESSAGE_BYTES)
    for (let at = 0; at < MESSAGE_BYTES; at += message.length) whole.set(message, at)
    const channel = connection.dataChannel
    for (let left = bytes; left > 0; left -= MESSAGE_BYTES) {
      while (channel.bufferedAmount > 1048576 || connection.bufferSize > 0)
        await new Promise((resolve) => setTimeout(resolve, 1))
      connection.send(whole.buffer)
    }
  },
}
`

/**
 * The SDK's transfer without hashing and without a disk: a source that gives the same bytes again, and a store that keeps
 * nothing. What is left is the protocol.
 */
export const TRANSFER_ENTRY = `
import { connect } from '@peerage/client'
import { BLOCK_BYTES, createSharing } from '@peerage/client/transfer'
let sharing, host, session
const content = new Uint8Array(BLOCK_BYTES)
for (let at = 0; at < BLOCK_BYTES; at += 65536) crypto.getRandomValues(content.subarray(at, at + 65536))
const hash = new Uint8Array(32)
const source = (size) => ({
  info: { path: 'bench-' + Math.random() + '.bin', size, type: '' },
  readBlock: async () => ({ bytes: content.slice(), hash }),
})
const store = {
  isDurable: false,
  bytesMax: Infinity,
  open: async () => ({
    kept: new Map(),
    inOrder: false,
    put: async () => true,
    finish: async () => ({ kind: 'saved', where: '' }),
    discard: async () => {},
    close: async () => {},
  }),
}
const until = (emitter, test) => new Promise((resolve) => {
  const look = () => {
    const found = test()
    if (found === undefined) return
    stop()
    resolve(found)
  }
  const stop = emitter.onChange(look)
  look()
})
globalThis.mover = {
  here: async (port, name, channels) => {
    sharing = createSharing({ store, channels, moreChannels: { rttMs: 0, bytesLeft: 0 } })
    const peer = await connect('http://127.0.0.1:' + port, { name, storage: null, p2p: { verify: sharing.verify } })
    sharing.start(peer)
  },
  share: () => {
    host = sharing.host()
    return host.link('http://127.0.0.1/').split('#')[1]
  },
  join: async (name, fragment) => {
    session = await sharing.join({ name, fragment })
    await until(session, () => (session.state.name === 'open' ? true : undefined))
  },
  receive: async (bytes) => {
    const { transfer } = session
    const file = (state) => transfer.state.items.find((item) => item.kind === 'file' && item.direction === 'in' && state(item))
    const offered = await until(transfer, () => file((item) => item.state.name === 'offered'))
    const start = performance.now()
    transfer.accept([offered.key])
    await until(transfer, () => file((item) => item.key === offered.key && item.state.name === 'complete'))
    return (performance.now() - start) / 1000
  },
  send: async (_, bytes) => host.add([source(bytes)]),
}
`
