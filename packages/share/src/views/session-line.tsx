import type { SessionState, ShareSession } from '@peerage/client/transfer'
import type { ComponentChildren } from 'preact'
import { gotAll, hasAll } from '../model/guest-cards.js'
import { hasMoving } from '../model/moving.js'
import { useChanges, useModel, useTexts } from './hooks.js'
import type { Words } from '../words/words.js'

/** How the connection to the other side stands, in one line. */
export function SessionLine({ session }: { session: ShareSession }) {
  const { words, size } = useTexts()
  const { delivered } = useModel().own
  useChanges(session)
  const { state, serverBytesPerSecond } = session
  const hasLeft = state.name === 'reconnecting' && state.isPeerAway && !hasMoving(session)
  const isDelivered =
    session.role === 'host' &&
    (isGone(state) || isOver(state)) &&
    hasAll(session, (file) => delivered.has(session, file))
  return (
    <>
      <p class="status" role="status" data-state={isDelivered ? 'over' : markOf(state)}>
        <span class="dot" aria-hidden="true" />
        {isDelivered
          ? isGone(state)
            ? words.leftWithAll
            : words.overWithAll
          : !hasLeft
            ? lineOf(state, words)
            : session.role === 'guest' && gotAll(session)
              ? words.guestLeftWithAll
              : words.away}
      </p>
      {state.name === 'open' && state.path === 'server' && serverBytesPerSecond !== undefined && (
        <p class="hint">
          {words.serverSlow(
            Number.isFinite(serverBytesPerSecond) ? words.speed(size(serverBytesPerSecond)) : undefined,
          )}
        </p>
      )}
    </>
  )
}

/** Whether the other page is closed, or away, and does not come back by itself. */
const isGone = (state: SessionState): boolean =>
  (state.name === 'reconnecting' && state.isPeerAway) ||
  (state.name === 'ended' && (state.why === 'peer-left' || state.why === 'closed-there'))

/** Whether this page ended the session, such as when another person took the share. */
const isOver = (state: SessionState): boolean =>
  state.name === 'ended' && ['taken-elsewhere', 'stopped', 'expired', 'closed-here'].includes(state.why)

function lineOf(state: SessionState, words: Words): string {
  switch (state.name) {
    case 'connecting':
      return words.checkingOther
    case 'open':
      return `${words.connected} · ${words.paths[state.path]}`
    case 'reconnecting':
      return state.isPeerAway ? words.goneABit : words.reconnecting
    case 'ended':
      return words.states.endsShort[state.why]
  }
}

function markOf(state: SessionState): 'ready' | 'waiting' | 'over' {
  return state.name === 'open' ? 'ready' : state.name === 'ended' ? 'over' : 'waiting'
}

/** What few people want to know. */
export function Details({ session, children }: { session: ShareSession; children?: ComponentChildren }) {
  const { words, device } = useTexts()
  const { peer, state } = session
  return (
    <details class="details">
      <summary>{words.details}</summary>
      <dl>
        {state.name === 'open' && (
          <>
            <dt>{words.detailPath}</dt>
            <dd>{words.paths[state.path]}</dd>
          </>
        )}
        {peer.device !== '' && (
          <>
            <dt>{words.detailDevice}</dt>
            <dd>{device(peer.device)}</dd>
          </>
        )}
        <dt>{words.detailName}</dt>
        <dd class="mono">{peer.name}</dd>
      </dl>
      {children}
    </details>
  )
}
