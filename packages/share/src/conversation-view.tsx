import { useEffect, useId, useState } from 'preact/hooks'
import type { Conversation, Standing } from './conversations.js'
import { CLOSED, sentence } from './conversations.js'
import type { FileEnd, Item } from './exchange.js'

export function ConversationView({
  conversation,
  onCall,
}: {
  conversation: Conversation
  onCall: () => void
}) {
  const { peer, standing, isGone, items, exchange } = conversation
  const title = useId()
  return (
    <section
      class={standing.stage === 'failed' ? 'card bad' : 'card'}
      aria-labelledby={title}
      data-peer={peer}
    >
      <h2 id={title}>
        <span class="name">{peer}</span>
      </h2>
      <StandingView standing={standing} isGone={isGone} onCall={onCall} />
      <ol class="items" aria-live="polite" aria-label={`Messages and files with ${peer}`}>
        {items.map((item) => (
          <ItemView key={item.id} item={item} />
        ))}
      </ol>
      {exchange && items.length === 0 && <p class="empty">Nothing sent yet.</p>}
      {exchange && (
        <Composer
          onText={(text) => exchange.sendText(text)}
          onFiles={(files) => files.map((f) => exchange.sendFile(f))}
        />
      )}
    </section>
  )
}

function StandingView({
  standing,
  isGone,
  onCall,
}: {
  standing: Standing
  isGone: boolean | undefined
  onCall: () => void
}) {
  switch (standing.stage) {
    case 'calling':
      return (
        <p class="status" role="status" data-state="waiting">
          <span class="dot" aria-hidden="true" />
          Connecting to the other browser…
        </p>
      )
    case 'open':
      return (
        <p class="status" role="status" data-state="ready">
          <span class="dot" aria-hidden="true" />
          Connected to the other browser{pathText(standing)}
        </p>
      )
    case 'closed':
      return (
        <div class="row">
          <p class="status grow" role="status" data-state="closed">
            <span class="dot" aria-hidden="true" />
            {isGone === true ? CLOSED.title : 'Connection closed'}
          </p>
          <button type="button" onClick={onCall}>
            Connect again
          </button>
        </div>
      )
    case 'failed':
      return (
        <div role="alert">
          <h3>{standing.title}</h3>
          <p>{standing.advice}</p>
          <button type="button" onClick={onCall}>
            Try again
          </button>
        </div>
      )
  }
}

/** How the data travels, as far as it is known yet. */
function pathText({ path, sameLan }: Standing & { stage: 'open' }): string {
  const way = path === undefined ? '' : path === 'direct' ? ', directly' : ', through a relay server'
  return sameLan ? `${way}, on the same network` : way
}

function Composer({
  onText,
  onFiles,
}: {
  onText: (text: string) => Promise<void>
  onFiles: (files: File[]) => unknown
}) {
  const [text, setText] = useState('')
  const [problem, setProblem] = useState('')
  const send = (event: Event): void => {
    event.preventDefault()
    if (text.trim() === '') return
    onText(text).then(
      () => {
        setText('')
        setProblem('')
      },
      (error: unknown) => setProblem(error instanceof Error ? error.message : String(error)),
    )
  }
  return (
    <form class="composer" onSubmit={send}>
      <div class="row">
        <label class="grow">
          <span class="unseen">Message</span>
          <input
            type="text"
            name="message"
            placeholder="Message"
            autocomplete="off"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <button type="submit">Send</button>
      </div>
      <label class="file">
        Send files
        <input
          type="file"
          multiple
          onChange={(event) => {
            onFiles([...(event.currentTarget.files ?? [])])
            event.currentTarget.value = ''
          }}
        />
      </label>
      {problem !== '' && <p role="alert">{problem}</p>}
    </form>
  )
}

function ItemView({ item }: { item: Item }) {
  const from = item.mine ? 'You' : 'They'
  if (item.kind === 'text')
    return (
      <li class={item.mine ? 'mine' : 'theirs'}>
        <span class="unseen">{from}: </span>
        {item.text}
      </li>
    )
  const { name, size, end } = item
  return (
    <li class={item.mine ? 'mine' : 'theirs'} data-file={name} data-state={end?.state ?? 'moving'}>
      <span class="unseen">{from} sent the file </span>
      <strong>{name}</strong> <span class="hint">{bytes(size)}</span>
      {end === undefined ? <FileMoving item={item} /> : <FileEndView item={item} end={end} />}
    </li>
  )
}

type FileItem = Item & { kind: 'file' }

function FileMoving({ item: { mine, name, size, moved } }: { item: FileItem }) {
  if (moved < size)
    return <progress max={size} value={moved} aria-label={`${name}: ${percent(moved, size)}`} />
  return <p class="hint">{mine ? 'Sent. The other browser is checking it…' : 'Received. Checking it…'}</p>
}

function FileEndView({ item: { mine, name }, end }: { item: FileItem; end: FileEnd }) {
  const content = end.state === 'complete' ? end.content : undefined
  const [url, setUrl] = useState<string>()
  useEffect(() => {
    if (content === undefined) return undefined
    const made = URL.createObjectURL(content)
    setUrl(made)
    return () => URL.revokeObjectURL(made)
  }, [content])
  if (end.state === 'failed')
    return (
      <p class="why">
        {mine ? 'Failed.' : 'Failed. The received data was discarded.'} {sentence(end.why)}
      </p>
    )
  return (
    <div>
      <p>{mine ? 'Complete: the other browser has received it.' : 'Complete.'}</p>
      {url !== undefined && (
        <a href={url} download={name}>
          Save
        </a>
      )}
      <p class="digest">
        {end.sha256 === undefined ? (
          'No SHA-256, because browsers compute it only on https pages.'
        ) : (
          <>
            SHA-256 <code>{end.sha256}</code>
          </>
        )}
      </p>
    </div>
  )
}

function percent(part: number, whole: number): string {
  return `${whole === 0 ? 100 : Math.floor((part / whole) * 100)} %`
}

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB']

function bytes(size: number): string {
  const power = size === 0 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(size) / 3))
  const value = size / 1000 ** power
  return `${power === 0 ? value : value.toPrecision(3)} ${UNITS[power]}`
}
