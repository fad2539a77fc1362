import { once } from 'node:events'
import { WebSocket } from 'ws'

/** A native peer that sends plain frames, and so can do what an SDK never does. */
export class RawPeer {
  readonly ws: WebSocket
  readonly name: string
  closeCode: number | undefined
  errors = 0
  notices = 0
  received = 0

  private constructor(ws: WebSocket, name: string) {
    this.ws = ws
    this.name = name
  }

  /** Resolves when the name is claimed. Rejects if the socket or the claim is refused. */
  static async open(url: string, name: string, secret = 's'.repeat(22)): Promise<RawPeer> {
    const ws = new WebSocket(`${url.replace('http', 'ws')}/peerage/?EIO=4&transport=websocket`)
    const peer = new RawPeer(ws, name)
    const welcomed = new Promise<void>((resolve, reject) => {
      ws.on('error', reject)
      ws.on('close', (code) => {
        peer.closeCode = code
        reject(new Error(`closed ${code}`))
      })
      ws.on('message', (data: Buffer) => {
        const frame = data.toString()
        if (frame === '2') ws.send('3')
        else if (frame.startsWith('0')) ws.send(`40${JSON.stringify({ v: 1, name, secret })}`)
        else if (frame.startsWith('44')) reject(new Error(frame))
        else if (frame.startsWith('42["welcome"')) resolve()
        else if (frame.startsWith('42["message"')) peer.received++
        else if (frame.startsWith('42["error"')) peer.errors++
        else if (frame.startsWith('42["notice"')) peer.notices++
      })
    })
    try {
      await welcomed
    } catch (error) {
      ws.terminate()
      throw error
    }
    return peer
  }

  send(type: string, fields: unknown): void {
    this.ws.send(`42${JSON.stringify([type, fields])}`)
  }

  async closed(): Promise<number> {
    if (this.closeCode === undefined) await once(this.ws, 'close')
    return this.closeCode ?? 1006
  }

  end(): void {
    this.ws.terminate()
  }
}
