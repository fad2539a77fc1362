import type { WirePeerOptions } from './wire-peer.js'
import { WirePeer } from './wire-peer.js'

export interface PeerJsPeerOptions extends WirePeerOptions {
  /** `http://host:port`. */
  url: string
  id: string
  token?: string
  key?: string
  path?: string
  /** The whole query, in place of id, token and key. */
  query?: string
}

/** One frame of the PeerJS wire, as received. */
export interface PeerJsFrame {
  text: string
  type: string
  src: unknown
  dst: unknown
  payload: unknown
}

/** A PeerJS peer without the PeerJS library, so that a test decides and sees every frame. */
export class PeerJsPeer extends WirePeer {
  readonly id: string
  readonly token: string

  constructor({ url, id, ...options }: PeerJsPeerOptions) {
    const { token = Math.random().toString(36).slice(2), key = 'peerjs', path = '/' } = options
    const query = options.query ?? new URLSearchParams({ key, id, token, version: '1.5.5' }).toString()
    const base = path.endsWith('/') ? path : `${path}/`
    super(`${url.replace(/^http/, 'ws')}${base}peerjs?${query}`, options, id)
    this.id = id
    this.token = token
  }

  /** Connects and waits for OPEN. */
  static async open(options: PeerJsPeerOptions): Promise<PeerJsPeer> {
    const peer = new PeerJsPeer(options)
    await peer.until('OPEN', () => peer.frames.includes('{"type":"OPEN"}'))
    return peer
  }

  /** All frames but OPEN, decoded. */
  get received(): PeerJsFrame[] {
    return this.frames.map(decode).filter(({ type }) => type !== 'OPEN')
  }

  /** Waits for the first frame, past or to come, of this type and after the first `skip` of them. */
  async next(type: string, skip = 0, deadlineMs?: number): Promise<PeerJsFrame> {
    const find = (): PeerJsFrame | undefined =>
      this.frames.map(decode).filter((frame) => frame.type === type)[skip]
    await this.until(`${type} (${skip})`, () => find() !== undefined, deadlineMs)
    const found = find()
    if (found === undefined) throw new Error('unreachable: the frame was there')
    return found
  }
}

function decode(text: string): PeerJsFrame {
  const value: unknown = JSON.parse(text)
  const fields: Record<string, unknown> = typeof value === 'object' && value !== null ? { ...value } : {}
  const { type, src, dst, payload } = fields
  return { text, type: String(type), src, dst, payload }
}

export const offer = (dst: string, payload: unknown = { sdp: 'v=0' }): object => ({
  type: 'OFFER',
  payload,
  dst,
})
export const candidate = (dst: string, n: number): object => ({
  type: 'CANDIDATE',
  payload: { candidate: { candidate: `candidate:${n}` }, n },
  dst,
})
