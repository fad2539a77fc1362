/** Hears an event of the page; Node has neither of these. Returns the way to stop. */
export function onPageEvent(type: 'online' | 'pagehide', listener: () => void): () => void {
  globalThis.addEventListener?.(type, listener)
  return () => globalThis.removeEventListener?.(type, listener)
}
