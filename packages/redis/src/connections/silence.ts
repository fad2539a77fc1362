import type { Clock } from '@peerage/core'
import type { Redis } from 'ioredis'

const LOOK_MS = 200

/**
 * Ends a connection on which Redis is silent for so long although it was asked: a frozen server or a cut link is never
 * noticed otherwise. Counted are looks, not time: a process that was held up finds its answers in the socket, where a
 * timer (ioredis's `socketTimeout`) ends a healthy connection before they are read.
 */
export function endSilent(client: Redis, silentMs: number, clock: Clock): void {
  client.on('connect', () => {
    const { stream } = client
    let read = 0
    let silent = 0
    const look = (): void => {
      if (stream.destroyed || stream !== client.stream) return
      const isWaiting = client.commandQueue.length > 0 && stream.bytesRead === read
      silent = isWaiting ? silent + 1 : 0
      read = stream.bytesRead
      // The first look may come right after the question.
      if ((silent - 1) * LOOK_MS < silentMs) clock.after(LOOK_MS, look)
      else stream.destroy(new Error(`Redis was asked, and silent for ${silentMs} ms`))
    }
    look()
  })
}
