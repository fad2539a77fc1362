import type { ShareSession, TransferFile } from '@peerage/client/transfer'
import type { HadPlace } from '../model/had-files.js'
import { shownName } from '../model/kinds.js'
import type { Words } from '../words/words.js'
import { useModel, useTexts } from './hooks.js'

const NAMES_MAX = 5

/** Files that this guest has had before a reload, and where they are. */
export function HadView({
  session,
  files,
  onAgain,
}: {
  session: ShareSession
  files: readonly TransferFile[]
  /** Undefined: nobody is there who could send them. */
  onAgain: ((keys: readonly string[]) => void) | undefined
}) {
  const { received } = useModel()
  const { words, count } = useTexts()
  const groups = new Map<string, TransferFile[]>()
  for (const file of files) {
    const text = textOf(received.hadIn(session, file), words)
    const group = groups.get(text)
    if (group === undefined) groups.set(text, [file])
    else group.push(file)
  }
  return (
    <section class="stack" aria-labelledby="had-title" data-had={files.length}>
      <h2 id="had-title">{words.hadHeading(files.length, count(files.length))}</h2>
      {[...groups].map(([text, some]) => (
        <p key={text}>
          {[
            ...some.slice(0, NAMES_MAX).map(({ path }) => shownName(path)),
            ...(some.length > NAMES_MAX
              ? [words.andMore(some.length - NAMES_MAX, count(some.length - NAMES_MAX))]
              : []),
          ].join(', ')}
          <span class="hint block">{text}</span>
        </p>
      ))}
      {onAgain && (
        <div class="row">
          <button type="button" class="quiet" onClick={() => onAgain(files.map(({ key }) => key))}>
            {words.hadAgain(files.length)}
          </button>
        </div>
      )}
    </section>
  )
}

function textOf(place: HadPlace | undefined, words: Words): string {
  if (place === undefined || place.kind === 'memory' || place.kind === 'own-storage') return words.saved
  if (place.kind === 'downloads') return words.hadInDownloads
  if (place.where === '') return words.saved
  const name = shownName(place.where)
  return place.kind === 'zip-download' ? words.savedToDownloads(name) : words.savedIn(name)
}
