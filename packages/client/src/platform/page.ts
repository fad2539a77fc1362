/** Listens for an event of the page. Node has neither event. Returns a function that removes the listener. */
export function onPageEvent(type: 'online' | 'pagehide', listener: () => void): () => void {
  globalThis.addEventListener?.(type, listener)
  return () => globalThis.removeEventListener?.(type, listener)
}
