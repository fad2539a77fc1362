import type { ShareHost, ShareSession } from '@peerage/client/transfer'
import { useState } from 'preact/hooks'
import { Avatar } from './avatar.js'
import { useChanges, useModel, useTexts } from './hooks.js'
import { IconButton } from './icons.js'
import { Details, SessionLine } from './session-line.js'
import { TransferView } from './transfer-view.js'

/** The people who opened the link, each with what goes between them and this page. */
export function Guests({ host }: { host: ShareHost }) {
  const { words } = useTexts()
  const [dismissed, setDismissed] = useState<ReadonlySet<ShareSession>>(new Set())
  const shown = host.sessions.filter((session) => !dismissed.has(session))
  return (
    <section class="guests" aria-labelledby="guests-title">
      <h2 id="guests-title">{words.guestsHeading}</h2>
      {shown.length === 0 && <p class="soft">{words.guestsNone}</p>}
      {shown.map((session, index) => (
        <GuestCard
          key={`${session.peer.name} ${index}`}
          session={session}
          onDismiss={() => setDismissed(new Set([...dismissed, session]))}
        />
      ))}
    </section>
  )
}

function GuestCard({ session, onDismiss }: { session: ShareSession; onDismiss: () => void }) {
  const model = useModel()
  const { words, friend, device } = useTexts()
  useChanges(session)
  const { peer, state } = session
  const name = friend(peer.name)
  const isOver = state.name === 'ended'
  return (
    <article class={isOver ? 'card guest over' : 'card guest'} aria-label={name} data-peer={peer.name}>
      <div class="row spread top-aligned">
        <div class="row grow">
          <Avatar name={peer.name} />
          <div class="grow">
            <h3 class="guest-name">{name}</h3>
            <p class="soft">{device(peer.device)}</p>
          </div>
        </div>
        {isOver && <IconButton icon="close" label={words.dismiss(name)} onClick={onDismiss} />}
      </div>
      <SessionLine session={session} />
      <TransferView session={session} onPick={(picked) => model.offer(session, picked)} />
      {!isOver && (
        <Details session={session}>
          <button type="button" class="quiet" onClick={() => session.close()}>
            {words.disconnect}
          </button>
        </Details>
      )}
    </article>
  )
}
