import type { ShareSession, TransferFile, TransferItem, TransferText } from '@peerage/client/transfer'
import type { ShareEvent, Tell } from './events.js'
import { paced } from './paced.js'

/** Tells the changes of a session as events. Returns what tells the last ones, and stops. */
export function watchSession(session: ShareSession, tell: Tell): () => void {
  const last = new Map<string, string>()
  /** Tells the event if it differs from the last one of this key. */
  const once = (key: string, event: ShareEvent): void => {
    const text = JSON.stringify(event)
    if (last.get(key) === text) return
    last.set(key, text)
    tell(event)
  }
  /** Items are replaced when they change. */
  const known = new Map<string, TransferItem>()
  const read = (): void => {
    const sessionNow = sessionEvent(session)
    const isClosed = sessionNow.event === 'closed'
    if (!isClosed) once('session', sessionNow)
    const { name: peer } = session.peer
    const { items, in: incoming, out } = session.transfer.state
    const changed = items.filter((item) => known.get(item.key) !== item)
    const offered = changed.filter(
      (item) => item.kind === 'file' && item.direction === 'in' && !known.has(item.key),
    )
    const files = offered.filter((item) => item.kind === 'file').map(({ path, size }) => ({ path, size }))
    if (files.length > 0) tell({ event: 'offer', peer, files })
    for (const item of changed) known.set(item.key, item)
    for (const item of changed)
      if (item.kind === 'text') tellText(item, peer, once)
      else tellFile(item, peer, once)
    for (const [direction, progress] of [
      ['in', incoming],
      ['out', out],
    ] as const)
      if (progress.files > 0) once(direction, { event: 'progress', peer, direction, ...progress })
    // The last event of a session.
    if (isClosed) once('session', sessionNow)
  }
  const reading = paced(read)
  const stops = [session.onChange(reading.ask), session.transfer.onChange(reading.ask), reading.stop]
  reading.ask()
  return () => {
    for (const stop of stops) stop()
    read()
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
