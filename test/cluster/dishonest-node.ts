import { once } from 'node:events'
import { RTCPeerConnection } from 'node-datachannel/polyfill'
import { WebSocket, WebSocketServer } from 'ws'

// A node that cheats, as one peer sees it: a proxy between the peer and its real node. It reads and changes the signals of
// the peer and of those that call it, and leaves all other frames as they are.

export type Signal = { type: string; sdp?: string | undefined; candidates?: string[] | undefined }

/** Returns what the proxy sends in place of the signal. `isFromPeer`: the peer behind the proxy sent it. */
export type Change = (signal: Signal, handshake: string, isFromPeer: boolean) => Promise<Signal> | Signal

export interface DishonestNode {
  readonly url: string
  stop(): Promise<void>
}

export async function startDishonestNode(nodeUrl: string, change: Change): Promise<DishonestNode> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  server.on('connection', (near, request) => {
    const far = new WebSocket(`${nodeUrl.replace('http', 'ws')}${request.url ?? ''}`)
    const opened = once(far, 'open')
    pipe(near, far, opened, (frame) => changed(frame, change, true))
    pipe(far, near, opened, (frame) => changed(frame, change, false))
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the dishonest node has no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    stop: async () => {
      for (const socket of server.clients) socket.terminate()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Passes frames on in their order, however long a change takes. */
function pipe(
  from: WebSocket,
  to: WebSocket,
  opened: Promise<unknown>,
  change: (frame: string) => Promise<string>,
): void {
  let steps: Promise<unknown> = opened
  from.on('message', (data: Buffer) => {
    steps = steps
      .then(() => change(data.toString()))
      .then((frame) => to.send(frame))
      .catch(() => to.terminate())
  })
  from.on('close', () => {
    steps = steps.catch(() => undefined).finally(() => to.close())
  })
  from.on('error', () => to.terminate())
}

async function changed(frame: string, change: Change, isFromPeer: boolean): Promise<string> {
  if (!frame.startsWith(isFromPeer ? '42["send"' : '42["message"')) return frame
  const [type, fields] = JSON.parse(frame.slice(2))
  if (fields.kind !== 'signal') return frame
  const signal = await change(JSON.parse(fields.body), fields.handshake, isFromPeer)
  return `42${JSON.stringify([type, { ...fields, body: JSON.stringify(signal) }])}`
}

/**
 * Stands in the middle of each connection that the peer behind the proxy calls for: it has one connection to either side,
 * each with its own certificate, and passes every message, which must be text, on. `heard` gets the messages.
 */
export class Eavesdropper {
  readonly heard: string[] = []
  readonly #middles = new Map<string, Middle>()

  readonly change: Change = async (signal, handshake, isFromPeer) => {
    const middle = this.#middles.get(handshake) ?? middleOf()
    this.#middles.set(handshake, middle)
    const { near, far, answered } = middle
    switch (signal.type) {
      case 'offer': {
        await near.setRemoteDescription({ type: 'offer', sdp: signal.sdp ?? '' })
        const answer = await near.createAnswer()
        // libdatachannel would make an offer here if there were streams before the answer.
        this.#bridge(streamsOf(near), streamsOf(far))
        await near.setLocalDescription(answer)
        return { ...signal, sdp: (await described(far, await far.createOffer())).sdp }
      }
      case 'answer': {
        await far.setRemoteDescription({ type: 'answer', sdp: signal.sdp ?? '' })
        middle.answer()
        return { ...signal, sdp: (await described(near)).sdp }
      }
      case 'candidates': {
        // If the called peer knew our addresses earlier, its packets could arrive before our stack knows its certificate.
        await answered
        const [to, from] = isFromPeer ? [near, far] : [far, near]
        for (const candidate of signal.candidates ?? [])
          await to.addIceCandidate({ candidate, sdpMid: '0', sdpMLineIndex: 0 })
        return { type: 'candidates', candidates: (await described(from)).candidates }
      }
      default:
        return signal
    }
  }

  close(): void {
    for (const { near, far } of this.#middles.values()) {
      near.close()
      far.close()
    }
  }

  #bridge(nears: RTCDataChannel[], fars: RTCDataChannel[]): void {
    nears.forEach((near, index) => {
      const far = fars[index]
      if (far === undefined) throw new Error('each side has two streams')
      this.#pass(near, far)
      this.#pass(far, near)
    })
  }

  #pass(from: RTCDataChannel, to: RTCDataChannel): void {
    const waiting: string[] = []
    const pass = (): void => {
      while (to.readyState === 'open') {
        const data = waiting.shift()
        if (data === undefined) return
        to.send(data)
      }
    }
    to.addEventListener('open', pass)
    from.addEventListener('message', ({ data }: MessageEvent<string>) => {
      this.heard.push(data)
      waiting.push(data)
      pass()
    })
  }
}

const connection = (): RTCPeerConnection => new RTCPeerConnection({ iceServers: [] })

const streamsOf = (end: RTCPeerConnection): RTCDataChannel[] => [
  end.createDataChannel('peerage', { negotiated: true, id: 0 }),
  end.createDataChannel('', { negotiated: true, id: 1 }),
]

/** The two connections in the middle of one handshake. */
interface Middle {
  near: RTCPeerConnection
  far: RTCPeerConnection
  /** Called when the called peer has answered. */
  answer: () => void
  answered: Promise<void>
}

function middleOf(): Middle {
  let answer = (): void => undefined
  const answered = new Promise<void>((resolve) => (answer = resolve))
  return { near: connection(), far: connection(), answer: () => answer(), answered }
}

/** Sets the description, if one is given. Returns it and its candidates when all are found. */
async function described(
  end: RTCPeerConnection,
  own?: RTCSessionDescriptionInit,
): Promise<{ sdp: string; candidates: string[] }> {
  const gathered = new Promise<void>((resolve) => {
    const look = (): void => void (end.iceGatheringState === 'complete' && resolve())
    end.addEventListener('icegatheringstatechange', look)
    look()
  })
  if (own) await end.setLocalDescription(own)
  await gathered
  const lines = (end.localDescription?.sdp ?? '').split('\r\n')
  return {
    sdp: lines.filter((line) => !/^a=(end-of-)?candidate/.test(line)).join('\r\n'),
    candidates: lines.filter((line) => line.startsWith('a=candidate')).map((line) => line.slice(2)),
  }
}
