import type { ShareSession, TransferFile, TransferText } from '@peerage/client/transfer'
import type { ShareEvent, Tell } from './events.js'

/** Tells each change of a session as an event. Returns what stops it. */
export function watchSession(session: ShareSession, tell: Tell): () => void {
  const last = new Map<string, string>()
  /** Tells the event if it differs from the last one of this key. */
  const once = (key: string, event: ShareEvent): void => {
    const text = JSON.stringify(event)
    if (last.get(key) === text) return
    last.set(key, text)
    tell(event)
  }
  const read = (): void => {
    once('session', sessionEvent(session))
    const { name: peer } = session.peer
    const { items, in: incoming, out } = session.transfer.state
    const offered = items.filter(
      (item) => item.kind === 'file' && item.direction === 'in' && !last.has(item.key),
    )
    const files = offered.filter((item) => item.kind === 'file').map(({ path, size }) => ({ path, size }))
    if (files.length > 0) tell({ event: 'offer', peer, files })
    for (const { key } of offered) last.set(key, '')
    for (const item of items)
      if (item.kind === 'text') tellText(item, peer, once)
      else tellFile(item, peer, once)
    for (const [direction, progress] of [
      ['in', incoming],
      ['out', out],
    ] as const)
      if (progress.files > 0) once(direction, { event: 'progress', peer, direction, ...progress })
  }
  const stops = [session.onChange(read), session.transfer.onChange(read)]
  read()
  return () => {
    for (const stop of stops) stop()
  }
}

type Once = (key: string, event: ShareEvent) => void

function sessionEvent({ state, peer: { name: peer, device } }: ShareSession): ShareEvent {
  switch (state.name) {
    case 'connecting':
      return { event: 'connecting', peer }
    case 'open':
      return { event: 'open', peer, path: state.path, device }
    case 'reconnecting':
      return { event: 'reconnecting', peer, isPeerAway: state.isPeerAway }
    case 'ended':
      return { event: 'closed', peer, why: state.why, detail: state.detail }
  }
}

function tellText({ key, direction, text, isDelivered }: TransferText, peer: string, once: Once): void {
  if (isDelivered) once(key, { event: 'text', peer, direction, text })
}

function tellFile({ key, path, size, direction, state }: TransferFile, peer: string, once: Once): void {
  if (state.name === 'offered') return
  const file = { event: 'file', peer, direction, path, size } as const
  switch (state.name) {
    case 'accepted':
    case 'paused':
    case 'checking':
      return once(key, { ...file, state: state.name })
    case 'complete': {
      const { received } = state
      const saved = received?.kind === 'saved' ? { savedTo: received.where } : {}
      return once(key, { ...file, state: 'complete', ...saved })
    }
    case 'ended':
      return once(key, { ...file, state: 'ended', reason: state.reason, detail: state.detail })
  }
}
