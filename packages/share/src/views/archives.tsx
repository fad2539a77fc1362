import type { ShareSession } from '@peerage/client/transfer'
import type { Archive } from '../model/archives.js'
import { shownName } from '../model/kinds.js'
import { useChanges, useModel, useObjectUrl, useTexts } from './hooks.js'
import { Icon } from './icons.js'

/** What became of the zip archives. */
export function Archives({ session }: { session: ShareSession }) {
  const { archives } = useModel().received
  useChanges(archives)
  return (
    <>
      {archives.of(session).map((archive) => (
        <ArchiveView key={archive.id} archive={archive} />
      ))}
    </>
  )
}

function ArchiveView({ archive }: { archive: Archive }) {
  const { end } = archive
  const { received } = useModel()
  const { words } = useTexts()
  const url = useObjectUrl(end.name === 'save' ? end.content : undefined)
  if (end.name === 'failed')
    return (
      <p class="why" role="alert">
        {words.archiveFailed}
      </p>
    )
  if (end.name === 'saved')
    return (
      <p role="status">
        {end.isDownload ? words.savedToDownloads(shownName(end.where)) : words.savedIn(shownName(end.where))}
      </p>
    )
  const { isSaved } = end
  return (
    <div class="row wrap">
      <p role="status">{isSaved ? words.savedToDownloads(words.archiveName) : words.archiveReady}</p>
      {url !== undefined && (
        <a
          class={isSaved ? 'button quiet' : 'button'}
          href={url}
          download={words.archiveName}
          onClick={() => received.saveArchive(archive, words.archiveName)}
        >
          <Icon name="save" />
          {words.saveFile}
        </a>
      )}
    </div>
  )
}
