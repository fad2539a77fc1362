import { connect } from '@peerage/client'
import type { Peer } from '@peerage/client'
import { useEffect, useState } from 'preact/hooks'
import { ConversationView } from './conversation-view.js'
import type { Conversation } from './conversations.js'
import { Conversations, explain } from './conversations.js'
import { LinkView } from './link-view.js'

type Tier =
  | { state: 'joining' }
  | { state: 'joined'; peer: Peer; conversations: Conversations | undefined; link: Link }
  | { state: 'failed'; title: string; advice: string }

/** What brought us here: a link to another page, this page's own one, or none. */
type Link = 'others' | 'own' | 'none'

/** The name in the link, where it has one. */
const asked = (): string => new URLSearchParams(location.search).get('peer_id') ?? ''

export function App() {
  const [tier, setTier] = useState<Tier>({ state: 'joining' })
  const [online, setOnline] = useState(true)
  const [all, setAll] = useState<readonly Conversation[]>([])

  useEffect(() => {
    const leaving = new AbortController()
    join(leaving.signal, setTier, setOnline, setAll).catch((error: unknown) => {
      if (!leaving.signal.aborted) setTier({ state: 'failed', ...explain(error, '') })
    })
    return () => leaving.abort()
  }, [])

  const isCaller = tier.state === 'joined' && tier.link === 'others'
  return (
    <main>
      <header>
        <h1>Peerage share</h1>
        <p>Messages and files straight from one browser to another. Nothing is stored on a server.</p>
      </header>
      <Status tier={tier} online={online} />
      {tier.state === 'joined' && tier.conversations && !isCaller && <LinkView name={tier.peer.name} />}
      {tier.state === 'joined' &&
        all.map((conversation) => (
          <ConversationView
            key={conversation.peer}
            conversation={conversation}
            onCall={() => void tier.conversations?.call(conversation.peer)}
          />
        ))}
      {tier.state === 'joined' && tier.conversations && !isCaller && all.length === 0 && (
        <p class="empty">
          {tier.link === 'own' ? 'This is your own link.' : 'Nobody is here yet.'} Open the link in another
          browser, or scan the code with a phone.
        </p>
      )}
      {tier.state === 'joined' && isCaller && (
        <p class="aside">
          You are <span class="name">{tier.peer.name}</span>.{' '}
          <a href={location.pathname}>Share from here instead</a>
        </p>
      )}
    </main>
  )
}

async function join(
  signal: AbortSignal,
  setTier: (tier: Tier) => void,
  setOnline: (online: boolean) => void,
  setAll: (all: readonly Conversation[]) => void,
): Promise<void> {
  const here = new URL('.', location.href)
  const peer = await connect(here.origin + here.pathname, { signal })
  peer.on('state', (state) => setOnline(state.state === 'online'))
  const conversations = peer.p2p ? new Conversations(peer.p2p, setAll) : undefined
  const to = asked()
  // A tab that keeps its name may be led to its own link.
  const link = to === '' ? 'none' : to === peer.name ? 'own' : 'others'
  setTier({ state: 'joined', peer, conversations, link })
  if (link === 'others') await conversations?.call(to)
}

function Status({ tier, online }: { tier: Tier; online: boolean }) {
  if (tier.state === 'failed')
    return (
      <section class="card bad" role="alert">
        <h2>{tier.title}</h2>
        <p>{tier.advice}</p>
        <button type="button" onClick={() => location.reload()}>
          Try again
        </button>
      </section>
    )
  if (tier.state === 'joined' && !tier.conversations)
    return (
      <section class="card bad" role="alert">
        <h2>P2P is switched off here</h2>
        <p>This tier carries messages only, so no channel between two browsers can be opened.</p>
      </section>
    )
  const isReady = tier.state === 'joined' && online
  const text =
    tier.state === 'joining' ? 'Connecting…' : online ? 'Connected to the tier' : 'Reconnecting to the tier…'
  return (
    <p class="status" role="status" data-state={isReady ? 'ready' : 'waiting'}>
      <span class="dot" aria-hidden="true" />
      {text}
    </p>
  )
}
