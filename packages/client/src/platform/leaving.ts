import { onPageEvent } from './page.js'

const leaving = new Set<() => void>()

/**
 * Hears that the page goes, or that the Node process ends: what is to be said must be said at once. Returns the way to
 * stop.
 */
export function onLeave(listener: () => void): () => void {
  // One listener for all peers of a process: Node warns of a leak past ten. Before those that end what it speaks through.
  if (leaving.size === 0) globalThis.process?.prependListener?.('exit', leave)
  leaving.add(listener)
  const stop = onPageEvent('pagehide', listener)
  return () => {
    stop()
    leaving.delete(listener)
    if (leaving.size === 0) globalThis.process?.removeListener?.('exit', leave)
  }
}

function leave(): void {
  for (const listener of leaving) listener()
}
