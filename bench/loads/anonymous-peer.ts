import { FrameSocket } from '../lib/ws-load.js'

/** A peer that has no name at the server: it subscribes to a topic, or announces itself in a swarm. */
export interface AnonymousPeer {
  /** The index of its topic or swarm. */
  readonly group: number
  /** Its id, which it chose itself. */
  readonly id: string
  readonly socket: FrameSocket
}

/** What one wire says when a peer enters, and how it sees that the peer is in. */
export interface Entrance {
  /** The frames that the peer sends after the upgrade. */
  readonly first: readonly string[]
  /** Whether this frame shows that the peer is in its topic or swarm. */
  isIn(text: string): boolean
  /** Every frame after that. */
  frame(text: string): void
}

/** A peer that is not in within this time has failed. */
const ENTER_TIMEOUT_MS = 20_000

/** Resolves once the peer is in. Rejects with the reason why it is not. */
export function enter(
  target: { port: number; path: string },
  entrance: Entrance,
  lost: (reason: string) => void,
): Promise<FrameSocket> {
  return new Promise((resolve, reject) => {
    let isIn = false
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error('no answer in time'))
    }, ENTER_TIMEOUT_MS)
    const socket = new FrameSocket(
      { host: '127.0.0.1', ...target },
      {
        open: () => {
          for (const frame of entrance.first) socket.send(frame)
        },
        text: (text) => {
          if (isIn) entrance.frame(text)
          else if (entrance.isIn(text)) {
            isIn = true
            clearTimeout(timer)
            resolve(socket)
          }
        },
        closed: (reason) => {
          clearTimeout(timer)
          if (isIn) lost(reason)
          else reject(new Error(reason))
        },
      },
    )
  })
}
