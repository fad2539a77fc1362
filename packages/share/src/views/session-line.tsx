import type { SessionState, ShareSession } from '@peerage/client/transfer'
import type { ComponentChildren } from 'preact'
import { useChanges, useTexts } from './hooks.js'
import type { Words } from '../words/words.js'

/** How the connection to the other side stands, in one line. */
export function SessionLine({ session }: { session: ShareSession }) {
  const { words, size } = useTexts()
  useChanges(session)
  const { state, serverBytesPerSecond } = session
  return (
    <>
      <p class="status" role="status" data-state={markOf(state)}>
        <span class="dot" aria-hidden="true" />
        {lineOf(state, words)}
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

function lineOf(state: SessionState, words: Words): string {
  switch (state.name) {
    case 'connecting':
      return words.checkingOther
    case 'open':
      return [words.connected, words.paths[state.path], ...(state.sameLan ? [words.sameLan] : [])].join(' · ')
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
            <dd>
              {words.paths[state.path]}
              {state.sameLan ? ` · ${words.sameLan}` : ''}
            </dd>
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
