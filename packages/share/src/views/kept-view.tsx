import type { ShareSession, TransferFile } from '@peerage/client/transfer'
import { useState } from 'preact/hooks'
import { blobOf } from '../model/archives.js'
import { FileList } from './file-list.js'
import { useChanges, useModel, useTexts } from './hooks.js'

/** The whole files of a share that this browser has kept, for when nobody is there who could send them. */
export function KeptView({ session }: { session: ShareSession }) {
  const model = useModel()
  const { kept, saved } = model.received
  const { words, count } = useTexts()
  const [isAsked, setAsked] = useState(false)
  useChanges(saved)
  if (session.state.name !== 'ended') return null
  const shown = new Set(
    session.transfer.state.items
      .filter((item) => item.kind === 'file' && blobOf(item) !== undefined)
      .map(({ key }) => key),
  )
  const files = kept.files.filter(({ key }) => !shown.has(key))
  if (files.length === 0) return null
  const remove = (some: readonly TransferFile[]): void =>
    model.received.removeKept(session, some, model.saving)
  const isSaved = files.every(({ key }) => saved.has(kept, key))
  return (
    <section class="card" aria-labelledby="kept-title">
      <h2 id="kept-title">{words.keptHeading(files.length, count(files.length))}</h2>
      <p class="soft">{words.keptLead}</p>
      <FileList transfer={kept} files={files} onRemove={remove} />
      {isAsked ? (
        <div class="stack" role="group" aria-label={words.keptRemove}>
          <p role="alert">{words.keptRemoveSure}</p>
          <div class="row wrap">
            <button type="button" class="danger-fill" onClick={() => remove(files)}>
              {words.keptRemoveYes}
            </button>
            <button type="button" class="quiet" onClick={() => setAsked(false)}>
              {words.keptStay}
            </button>
          </div>
        </div>
      ) : (
        <div class="row wrap">
          <button type="button" class="quiet" onClick={() => (isSaved ? remove(files) : setAsked(true))}>
            {words.keptRemove}
          </button>
        </div>
      )}
    </section>
  )
}
