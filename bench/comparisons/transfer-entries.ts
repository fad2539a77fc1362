// The pages of the transfer comparison. Each defines `globalThis.mover`, whose members the bench calls.

/** Moves bytes from the first page to the second. */
export interface Mover {
  /** Registers the page under a name at the node or server on this port. */
  here(port: number, name: string): Promise<void>
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
