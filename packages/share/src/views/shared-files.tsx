import type { ShareHost, SharedFile } from '@peerage/client/transfer'
import { useState } from 'preact/hooks'
import { kindOf, shownName } from '../model/kinds.js'
import { useModel, useTexts } from './hooks.js'
import { Icon, IconButton } from './icons.js'
import { Notice } from './notice.js'
import { PickButtons } from './pick.js'
import { TextPieces } from './text-pieces.js'

const ROWS_FIRST = 8
const ROWS_MORE = 200

/** The files and texts that everyone with the link gets. */
export function SharedFiles({ host }: { host: ShareHost }) {
  const model = useModel()
  const { words, count, size } = useTexts()
  const [rows, setRows] = useState(ROWS_FIRST)
  const { files } = host
  const missing = files.filter(({ source }) => source === undefined).length
  // Those that the person must choose again come first.
  const ordered = missing > 0 ? [...files].sort((a, b) => Number(!!a.source) - Number(!!b.source)) : files
  const bytes = files.reduce((sum, file) => sum + file.size, 0)
  const texts = model.own.texts.all
  return (
    <section class={missing > 0 ? 'card urgent' : 'card shared'} aria-labelledby="files-title">
      {files.length > 0 && (
        <div class="row wrap spread">
          <div>
            <h2 id="files-title">{words.filesHeading}</h2>
            <p class="soft">{words.filesSum(files.length, count(files.length), size(bytes))}</p>
          </div>
          {files.length > 1 && (
            <button type="button" class="quiet" onClick={() => host.removeFiles(files.map(({ id }) => id))}>
              {words.removeAll}
            </button>
          )}
        </div>
      )}
      {missing > 0 && (
        <Notice tone="mild" title={words.chooseAgainTitle} text={words.chooseAgain(missing, count(missing))}>
          <PickButtons onPick={(picked) => model.addFiles(picked)} />
        </Notice>
      )}
      {files.length > 0 && (
        <ul class="files">
          {ordered.slice(0, rows).map((file) => (
            <SharedFileRow key={file.id} file={file} onRemove={() => host.removeFiles([file.id])} />
          ))}
        </ul>
      )}
      {files.length > rows && (
        <p class="row spread soft">
          {words.andMore(files.length - rows, count(files.length - rows))}
          <button type="button" class="quiet" onClick={() => setRows(rows + ROWS_MORE)}>
            {words.showMore}
          </button>
        </p>
      )}
      {texts.length > 0 && (
        <>
          {files.length > 0 ? <h3>{words.textsHeading}</h3> : <h2 id="files-title">{words.textsHeading}</h2>}
          <ul class="files">
            {texts.map(({ id, text }) => (
              <li class="file-row" key={id}>
                <p class="file-main text">
                  <TextPieces text={text} />
                </p>
                <IconButton icon="close" label={words.removeText} onClick={() => model.own.removeText(id)} />
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  )
}

function SharedFileRow({ file, onRemove }: { file: SharedFile; onRemove: () => void }) {
  const { words, size } = useTexts()
  const name = shownName(file.path)
  return (
    <li class="file-row" data-file={file.path}>
      <Icon name={kindOf(file.path, file.type)} />
      <div class="file-main">
        <p class="file-name">{name}</p>
        <p class="file-note">
          {size(file.size)}
          {file.source === undefined && <span class="mark"> · {words.chooseAgainMark}</span>}
        </p>
      </div>
      <IconButton icon="close" label={words.removeFile(name)} onClick={onRemove} />
    </li>
  )
}
