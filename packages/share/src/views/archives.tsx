import type { ShareSession } from '@peerage/client/transfer'
import type { Archive } from '../model/archives.js'
import { useChanges, useModel, useObjectUrl, useTexts } from './hooks.js'
import { Icon } from './icons.js'

/** The zip archives that were made in memory, to be saved. */
export function Archives({ session }: { session: ShareSession }) {
  const { archives } = useModel()
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
  const { words } = useTexts()
  const url = useObjectUrl(archive.content)
  if (archive.content === undefined)
    return (
      <p class="why" role="alert">
        {words.archiveFailed}
      </p>
    )
  return (
    <div class="row wrap">
      <p>{words.archiveReady}</p>
      {url !== undefined && (
        <a class="button" href={url} download={words.archiveName}>
          <Icon name="save" />
          {words.saveFile}
        </a>
      )}
    </div>
  )
}
