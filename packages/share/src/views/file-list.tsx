import type { TransferControls, TransferFile } from '@peerage/client/transfer'
import { useRef, useState } from 'preact/hooks'
import { blobOf } from '../model/archives.js'
import { FileSpeeds } from '../model/file-speeds.js'
import { kindOf, shownName } from '../model/kinds.js'
import { percentOf } from '../model/format.js'
import { useChanges, useModel, useObjectUrl, useTexts } from './hooks.js'
import { Icon, IconButton } from './icons.js'
import { noteOf } from './file-note.js'

const ROWS_FIRST = 12
const ROWS_MORE = 200

/** What the buttons of a file do: to its transfer, or to a file that was kept. */
export type FileControls = Pick<TransferControls, 'pause' | 'resume' | 'cancel'>

/** Files that are moving, wait, or are done, each in a line. */
export function FileList({
  transfer,
  files,
  onRemove,
}: {
  transfer: FileControls
  files: readonly TransferFile[]
  onRemove: (files: readonly TransferFile[]) => void
}) {
  const { words, count } = useTexts()
  const [rows, setRows] = useState(ROWS_FIRST)
  // Lines that change places are hard to read, so a short list keeps its order.
  const ordered = files.length <= rows ? files : [...files].sort((a, b) => rank(a) - rank(b))
  const { saved } = useModel().received
  useChanges(saved)
  const speeds = useRef(new FileSpeeds()).current
  speeds.look(files, performance.now())
  const isSaved = ({ key }: TransferFile): boolean => saved.has(transfer, key)
  const blobs = files.filter((file) => blobOf(file) !== undefined)
  // What was not saved yet would be lost.
  const over = files.filter((file) => isOver(file) && (blobOf(file) === undefined || isSaved(file)))
  return (
    <div class="stack">
      <ul class="files" aria-label={words.filesLabel}>
        {ordered.slice(0, rows).map((file) => (
          <FileRow
            key={file.key}
            transfer={transfer}
            file={file}
            bytesPerSecond={speeds.of(file.key)}
            isSaved={isSaved(file)}
            isOneOfMany={blobs.length > 1}
            onRemove={() => onRemove([file])}
          />
        ))}
      </ul>
      {files.length > rows && (
        <p class="row spread soft">
          {words.andMore(files.length - rows, count(files.length - rows))}
          <button type="button" class="quiet" onClick={() => setRows(rows + ROWS_MORE)}>
            {words.showMore}
          </button>
        </p>
      )}
      {(over.length > 1 || blobs.length > 1) && (
        <div class="row wrap">
          {blobs.length > 1 && (
            <button
              type="button"
              class={blobs.every(isSaved) ? 'quiet' : undefined}
              onClick={() => {
                saveAll(blobs)
                saved.add(
                  transfer,
                  blobs.map(({ key }) => key),
                )
              }}
            >
              <Icon name="save" />
              {words.saveAll}
            </button>
          )}
          {over.length > 1 && (
            <button type="button" class="quiet" onClick={() => onRemove(over)}>
              {words.clearDone}
            </button>
          )}
        </div>
      )}
    </div>
  )
}

function FileRow({
  transfer,
  file,
  bytesPerSecond,
  isSaved,
  isOneOfMany,
  onRemove,
}: {
  transfer: FileControls
  file: TransferFile
  bytesPerSecond: number
  isSaved: boolean
  /** There are other files to save, and a button that saves all of them. */
  isOneOfMany: boolean
  onRemove: () => void
}) {
  const texts = useTexts()
  const { words } = texts
  const { saved } = useModel().received
  const { key, path, size, bytesDone, state, type } = file
  const name = shownName(path)
  const isBusy = state.name === 'accepted' || state.name === 'paused'
  const isFailed = state.name === 'ended'
  const isStarted = isBusy && (bytesDone > 0 || (state.name === 'accepted' && state.isMoving))
  return (
    <li class="file-row" data-file={path} data-state={state.name} data-direction={file.direction}>
      <Icon name={state.name === 'complete' ? 'check' : isFailed ? 'warn' : kindOf(path, type)} />
      <div class="file-main">
        <p class="file-name">{name}</p>
        <p class={isFailed ? 'file-note why' : 'file-note'}>
          {isSaved
            ? `${texts.size(size)} · ${words.savedToDownloads(shownName(fileName(file)))}`
            : noteOf(file, bytesPerSecond, saved.placeOf(transfer, key), texts)}
        </p>
        {isStarted && (
          <progress
            max={Math.max(1, size)}
            value={bytesDone}
            aria-label={`${name}: ${percentOf(bytesDone, size)} %`}
          />
        )}
      </div>
      <div class="file-actions">
        {isBusy && state.name === 'accepted' && (
          <IconButton icon="pause" label={words.pauseFile(name)} onClick={() => transfer.pause([key])} />
        )}
        {state.name === 'paused' && state.here && !(state.isMissing === true && file.direction === 'out') && (
          <IconButton icon="play" label={words.resumeFile(name)} onClick={() => transfer.resume([key])} />
        )}
        {(isBusy || state.name === 'offered') && (
          <IconButton icon="close" label={words.cancelFile(name)} onClick={() => transfer.cancel([key])} />
        )}
        {state.name === 'complete' && (
          <SaveLink transfer={transfer} file={file} isQuiet={isSaved || isOneOfMany} />
        )}
        {isFailed && <IconButton icon="close" label={words.dismiss(name)} onClick={onRemove} />}
      </div>
    </li>
  )
}

function SaveLink({
  transfer,
  file,
  isQuiet,
}: {
  transfer: FileControls
  file: TransferFile
  isQuiet: boolean
}) {
  const { words } = useTexts()
  const { saved } = useModel().received
  const url = useObjectUrl(blobOf(file))
  if (url === undefined) return null
  return (
    <a
      class={isQuiet ? 'button quiet' : 'button'}
      href={url}
      download={fileName(file)}
      onClick={() => saved.add(transfer, [file.key])}
      aria-label={words.saveFileNamed(shownName(file.path))}
    >
      {words.saveFile}
    </a>
  )
}

/** What moves comes first, then what needs the person, then the rest. */
function rank({ state }: TransferFile): number {
  switch (state.name) {
    case 'accepted':
      return state.isMoving ? 0 : 3
    case 'paused':
      return 1
    case 'ended':
      return 2
    case 'checking':
      return 4
    case 'complete':
      return 5
    case 'offered':
      return 6
  }
}

const isOver = ({ state }: TransferFile): boolean => state.name === 'complete' || state.name === 'ended'

/** The name without its folders: a browser saves a file, and not a tree. */
const fileName = ({ path }: TransferFile): string => path.slice(path.lastIndexOf('/') + 1)

/** Long enough for a browser to begin each download. */
const URL_MS = 60_000

function saveAll(files: readonly TransferFile[]): void {
  for (const file of files) {
    const blob = blobOf(file)
    if (blob === undefined) continue
    const link = document.createElement('a')
    link.href = URL.createObjectURL(blob)
    link.download = fileName(file)
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), URL_MS)
  }
}
