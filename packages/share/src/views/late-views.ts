import { usePart } from './hooks.js'
import type * as sessionViews from './session-views.js'

type SessionViews = typeof sessionViews

let loaded: SessionViews | undefined

/** The views of sessions. Undefined until they are loaded; from then on each view has them at its first drawing. */
export function useSessionViews(): SessionViews | undefined {
  const part = usePart(async () => (loaded = await import('./session-views.js')), 'session-views')
  return part.state === 'ready' ? part.value : loaded
}
