import type { ShareHost, ShareSession } from '@peerage/client/transfer'
import { useState } from 'preact/hooks'
import { guestCards } from '../model/guest-cards.js'
import type { GuestCard } from '../model/guest-cards.js'
import { useModel, useTexts } from './hooks.js'
import { useSessionViews } from './late-views.js'

/** The people who opened the link, each with what goes between them and this page. */
export function Guests({ host }: { host: ShareHost }) {
  const model = useModel()
  const { words, friend } = useTexts()
  const [dismissed, setDismissed] = useState<ReadonlySet<ShareSession>>(new Set())
  const shown = guestCards(host.sessions).filter(({ session }) => !dismissed.has(session))
  return (
    <section class="guests" aria-labelledby="guests-title">
      <h2 id="guests-title">{words.guestsHeading}</h2>
      {shown.length === 0 && <p class="soft">{words.guestsNone}</p>}
      <p class="hint">{words.youAre(friend(host.name))}</p>
      {shown.length > 0 && (
        <Cards
          cards={shown}
          onDismiss={(session) => {
            model.received.dismiss(session)
            setDismissed(new Set([...dismissed, session]))
          }}
        />
      )}
    </section>
  )
}

function Cards(props: { cards: readonly GuestCard[]; onDismiss: (session: ShareSession) => void }) {
  const views = useSessionViews()
  if (views === undefined) return null
  const { GuestCards } = views
  return <GuestCards {...props} />
}
