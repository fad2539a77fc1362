import type { ShareSession } from '@peerage/client/transfer'
import { received } from '../model/guest-cards.js'
import type { GuestCard as ShownGuest } from '../model/guest-cards.js'
import { Avatar } from './avatar.js'
import { useChanges, useModel, useTexts } from './hooks.js'
import { FileList } from './file-list.js'
import { IconButton } from './icons.js'
import { Details, SessionLine } from './session-line.js'
import { TextList } from './text-list.js'
import { TransferView } from './transfer-view.js'

/** The guests of a share, each with what goes between them and this page. */
export function GuestCards({
  cards,
  onDismiss,
}: {
  cards: readonly ShownGuest[]
  onDismiss: (session: ShareSession) => void
}) {
  return (
    <>
      {cards.map(({ session, isReplaced }) => {
        const Card = isReplaced ? ReplacedCard : GuestCard
        return <Card key={idOf(session)} session={session} onDismiss={() => onDismiss(session)} />
      })}
    </>
  )
}

const ids = new WeakMap<ShareSession, number>()
let lastId = 0

/** Tells the sessions of one guest apart. */
function idOf(session: ShareSession): number {
  const id = ids.get(session) ?? ++lastId
  ids.set(session, id)
  return id
}

/** What a guest sent before it loaded its page again. */
function ReplacedCard({ session, onDismiss }: { session: ShareSession; onDismiss: () => void }) {
  const model = useModel()
  const { words, friend } = useTexts()
  useChanges(session.transfer)
  const items = received(session)
  const files = items.filter((item) => item.kind === 'file')
  const texts = items.filter((item) => item.kind === 'text')
  const name = friend(session.peer.name)
  return (
    <article class="card guest over" aria-label={words.earlierFrom(name)} data-replaced>
      <div class="row spread top-aligned">
        <h3 class="guest-name">{words.earlierFrom(name)}</h3>
        <IconButton icon="close" label={words.dismiss(name)} onClick={onDismiss} />
      </div>
      {files.length > 0 && (
        <FileList
          transfer={session.transfer}
          files={files}
          onRemove={(some) => model.removeFiles(session, some)}
        />
      )}
      {texts.length > 0 && <TextList texts={texts} />}
    </article>
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
