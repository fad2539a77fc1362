import { nodeProcess } from './node-process.js'
import { onPageEvent } from './page.js'

const leaving = new Set<() => void>()

/**
 * Calls the listener when the page is unloaded or the Node process ends. The listener must do its work synchronously.
 * Returns a function that removes it.
 */
export function onLeave(listener: () => void): () => void {
  // All peers of a process share one listener, because Node warns of a leak from the eleventh on. It is the first
  // listener, so that it runs before those that close the connections.
  if (leaving.size === 0) nodeProcess()?.prependListener('exit', leave)
  leaving.add(listener)
  const stop = onPageEvent('pagehide', listener)
  return () => {
    stop()
    leaving.delete(listener)
    if (leaving.size === 0) nodeProcess()?.removeListener('exit', leave)
  }
}

function leave(): void {
  for (const listener of leaving) listener()
}
