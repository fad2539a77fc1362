import type { SessionEnd, ShareLink, ShareSession } from '@peerage/client/transfer'
import { gotAll } from '../model/guest-cards.js'
import { Avatar } from './avatar.js'
import { useChanges, useModel, useTexts } from './hooks.js'
import { KeptView } from './kept-view.js'
import type { Action } from './notice.js'
import { Notice } from './notice.js'
import { Details, SessionLine } from './session-line.js'
import { TransferView } from './transfer-view.js'

/** What the person sees who opened a link or entered a code. */
export function GuestView({ session, to }: { session: ShareSession; to: ShareLink | string }) {
  const model = useModel()
  const { words, friend, device, time } = useTexts()
  useChanges(session)
  useChanges(session.transfer)
  const { peer, state, transfer } = session
  const hasItems = transfer.state.items.length > 0
  if (state.name === 'ended' && !hasItems)
    return (
      <div class="guest-page">
        <EndNotice why={state.why} to={to} isMain />
        <KeptView session={session} />
      </div>
    )
  const isText = hasItems && transfer.state.items.every(({ kind }) => kind === 'text')
  const hasEverything = state.name === 'ended' && state.why === 'taken-elsewhere' && gotAll(session)
  return (
    <div class="guest-page">
      <div class="row">
        {state.name !== 'connecting' && <Avatar name={peer.name} />}
        <div class="grow">
          <h1>{isText ? words.guestHeadingText : words.guestHeading}</h1>
          {state.name !== 'connecting' && (
            <p class="soft">
              {[words.from(friend(peer.name)), ...(peer.device === '' ? [] : [device(peer.device)])].join(
                ' · ',
              )}
            </p>
          )}
        </div>
      </div>
      {state.name === 'ended' &&
        (hasEverything ? (
          <Notice tone="mild" {...words.states.takenAfterAll} />
        ) : (
          <EndNotice why={state.why} to={to} isMain={false} />
        ))}
      <div class="card">
        {state.name !== 'ended' && <SessionLine session={session} />}
        {state.name !== 'ended' && session.expiresAt !== undefined && (
          <p class="hint">{words.guestExpires(time(session.expiresAt))}</p>
        )}
        {state.name === 'open' && !hasItems && <p class="soft">{words.waitingForOffer}</p>}
        <TransferView session={session} onPick={(picked) => model.addFiles(picked)} />
        {state.name !== 'connecting' && state.name !== 'ended' && (
          <Details session={session}>
            <p class="hint">{words.youAre(friend(model.name))}</p>
          </Details>
        )}
      </div>
      <KeptView session={session} />
      {(state.name !== 'ended' || hasEverything) && (
        <p>
          <a
            href={model.base}
            onClick={(event) => {
              // With a key pressed, the browser opens another tab.
              if (event.ctrlKey || event.metaKey || event.shiftKey) return
              event.preventDefault()
              model.startOwn()
            }}
          >
            {words.back}
          </a>
        </p>
      )}
    </div>
  )
}

/** Why the connection is over, and what to do. */
function EndNotice({ why, to, isMain }: { why: SessionEnd; to: ShareLink | string; isMain: boolean }) {
  const model = useModel()
  const { words } = useTexts()
  const { states } = words
  const own: Action = { text: states.startOwn, onClick: () => model.startOwn() }
  const again: Action =
    typeof to === 'string'
      ? { text: states.enterCode, onClick: () => model.showCodeForm() }
      : { text: states.tryAgain, onClick: () => void model.join(to) }
  return (
    <Notice
      tone={isCalm(why) ? 'mild' : 'bad'}
      isMain={isMain}
      {...states.ends[why]}
      action={canRepeat(why) ? again : own}
      second={canRepeat(why) ? own : undefined}
    >
      {why === 'not-found' && model.isSearching && <p role="status">{states.searching}</p>}
    </Notice>
  )
}

const isCalm = (why: SessionEnd): boolean =>
  ['stopped', 'expired', 'closed-here', 'closed-there'].includes(why)

/** Whether the same link or another code may do better. */
function canRepeat(why: SessionEnd): boolean {
  switch (why) {
    case 'not-found':
    case 'wrong-code':
    case 'wrong-password':
    case 'not-verified':
    case 'peer-left':
    case 'self-closed':
    case 'closed-here':
    case 'closed-there':
    case 'incompatible':
    case 'failed':
    // The host can share it again.
    case 'taken-elsewhere':
      return true
    case 'wrong-link':
    case 'locked':
    case 'stopped':
    case 'expired':
      return false
  }
}
