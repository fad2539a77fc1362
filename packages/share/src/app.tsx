import { connect } from '@peerage/client'
import type { Peer } from '@peerage/client'
import { useEffect, useState } from 'preact/hooks'
import { ConversationView } from './conversation-view.js'
import type { Conversation } from './conversations.js'
import { Conversations, explain } from './conversations.js'
import { LinkView } from './link-view.js'

type PageState =
  | { state: 'joining' }
  | { state: 'joined'; peer: Peer; conversations: Conversations | undefined; link: Link }
  | { state: 'failed'; title: string; advice: string }

/** The link that opened this page: to another page, to this page itself, or none. */
type Link = 'others' | 'own' | 'none'

/** The name in the link, or ''. */
const nameInLink = (): string => new URLSearchParams(location.search).get('peer_id') ?? ''

export function App() {
  const [page, setPage] = useState<PageState>({ state: 'joining' })
  const [online, setOnline] = useState(true)
  const [all, setAll] = useState<readonly Conversation[]>([])

  useEffect(() => {
    const leaving = new AbortController()
    join(leaving.signal, setPage, setOnline, setAll).catch((error: unknown) => {
      if (!leaving.signal.aborted) setPage({ state: 'failed', ...explain(error) })
    })
    return () => leaving.abort()
  }, [])

  const isCaller = page.state === 'joined' && page.link === 'others'
  return (
    <main>
      <header>
        <h1>Peerage share</h1>
        <p>
          Send messages and files from one browser to another. They are encrypted, and no server stores them.
        </p>
      </header>
      <Status page={page} online={online} />
      {page.state === 'joined' && page.conversations && !isCaller && <LinkView name={page.peer.name} />}
      {page.state === 'joined' &&
        all.map((conversation) => (
          <ConversationView
            key={conversation.peer}
            conversation={conversation}
            onCall={() => void page.conversations?.call(conversation.peer)}
          />
        ))}
      {page.state === 'joined' && page.conversations && !isCaller && all.length === 0 && (
        <p class="empty">
          {page.link === 'own' ? 'This is your own link.' : 'Nobody has connected yet.'} Open the link in
          another browser, or scan the code with a phone.
        </p>
      )}
      {page.state === 'joined' && isCaller && (
        <p class="aside">
          Your name is <span class="name">{page.peer.name}</span>.{' '}
          <a href={location.pathname}>Share your own link instead</a>
        </p>
      )}
    </main>
  )
}

async function join(
  signal: AbortSignal,
  setPage: (page: PageState) => void,
  setOnline: (online: boolean) => void,
  setAll: (all: readonly Conversation[]) => void,
): Promise<void> {
  const here = new URL('.', location.href)
  const peer = await connect(here.origin + here.pathname, { signal })
  peer.on('state', (state) => setOnline(state.state === 'online'))
  const conversations = peer.p2p ? new Conversations(peer, peer.p2p, setAll) : undefined
  const to = nameInLink()
  // A reloaded tab keeps its name, so its address may be its own link.
  const link = to === '' ? 'none' : to === peer.name ? 'own' : 'others'
  setPage({ state: 'joined', peer, conversations, link })
  if (link === 'others') await conversations?.call(to)
}

function Status({ page, online }: { page: PageState; online: boolean }) {
  if (page.state === 'failed')
    return (
      <section class="card bad" role="alert">
        <h2>{page.title}</h2>
        <p>{page.advice}</p>
        <button type="button" onClick={() => location.reload()}>
          Try again
        </button>
      </section>
    )
  if (page.state === 'joined' && !page.conversations)
    return (
      <section class="card bad" role="alert">
        <h2>Connections between browsers are switched off</h2>
        <p>This server offers no STUN or TURN server, so two browsers cannot connect to each other here.</p>
      </section>
    )
  const isReady = page.state === 'joined' && online
  const text =
    page.state === 'joining'
      ? 'Connecting to the server…'
      : online
        ? 'Connected to the server'
        : 'Reconnecting to the server…'
  return (
    <p class="status" role="status" data-state={isReady ? 'ready' : 'waiting'}>
      <span class="dot" aria-hidden="true" />
      {text}
    </p>
  )
}
