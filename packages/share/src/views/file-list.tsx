import type { FileState, TransferControls, TransferFile } from '@peerage/client/transfer'
import { useState } from 'preact/hooks'
import { blobOf } from '../model/archives.js'
import { kindOf, shownName } from '../model/kinds.js'
import { percentOf } from '../model/format.js'
import type { Words } from '../words/words.js'
import type { Texts } from './hooks.js'
import { useObjectUrl, useTexts } from './hooks.js'
import { Icon, IconButton } from './icons.js'

const ROWS_FIRST = 12
const ROWS_MORE = 200

/** Files that are moving, wait, or are done, each in a line. */
export function FileList({
  transfer,
  files,
  onRemove,
}: {
  transfer: TransferControls
  files: readonly TransferFile[]
  onRemove: (files: readonly TransferFile[]) => void
}) {
  const { words, count } = useTexts()
  const [rows, setRows] = useState(ROWS_FIRST)
  // Lines that change places are hard to read, so a short list keeps its order.
  const ordered = files.length <= rows ? files : [...files].sort((a, b) => rank(a) - rank(b))
  const over = files.filter(isOver)
  const blobs = files.filter((file) => blobOf(file) !== undefined)
  return (
    <div class="stack">
      <ul class="files" aria-label={words.filesLabel}>
        {ordered.slice(0, rows).map((file) => (
          <FileRow key={file.key} transfer={transfer} file={file} onRemove={() => onRemove([file])} />
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
            <button type="button" onClick={() => saveAll(blobs)}>
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
  onRemove,
}: {
  transfer: TransferControls
  file: TransferFile
  onRemove: () => void
}) {
  const texts = useTexts()
  const { words } = texts
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
        <p class={isFailed ? 'file-note why' : 'file-note'}>{noteOf(file, texts)}</p>
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
        {state.name === 'paused' && state.here && (
          <IconButton icon="play" label={words.resumeFile(name)} onClick={() => transfer.resume([key])} />
        )}
        {(isBusy || state.name === 'offered') && (
          <IconButton icon="close" label={words.cancelFile(name)} onClick={() => transfer.cancel([key])} />
        )}
        {state.name === 'complete' && <SaveLink file={file} />}
        {isFailed && <IconButton icon="close" label={words.dismiss(name)} onClick={onRemove} />}
      </div>
    </li>
  )
}

function SaveLink({ file }: { file: TransferFile }) {
  const { words } = useTexts()
  const url = useObjectUrl(blobOf(file))
  if (url === undefined) return null
  return (
    <a
      class="button"
      href={url}
      download={fileName(file)}
      aria-label={words.saveFileNamed(shownName(file.path))}
    >
      {words.saveFile}
    </a>
  )
}

/** What is said below the name of a file. */
function noteOf(
  { path, size, bytesDone, state, direction }: TransferFile,
  { words, size: sizeOf }: Texts,
): string {
  const all = sizeOf(size)
  const some = `${percentOf(bytesDone, size)} %`
  const { fileStates, states } = words
  switch (state.name) {
    case 'offered':
      return `${all} · ${direction === 'out' ? fileStates.offeredOut : fileStates.offeredIn}`
    case 'accepted':
      return state.isMoving ? `${some} · ${sizeOf(bytesDone)} / ${all}` : `${all} · ${fileStates.waiting}`
    case 'paused':
      return `${some} · ${state.here ? fileStates.pausedHere : fileStates.pausedThere}`
    case 'checking':
      return `${all} · ${fileStates.checking}`
    case 'complete':
      if (direction === 'out') return `${all} · ${fileStates.completeOut}`
      if (state.received?.kind !== 'saved') return `${all} · ${fileStates.completeIn}`
      // The name of the file itself says nothing new.
      return `${all} · ${path.endsWith(state.received.where) ? words.saved : words.savedIn(state.received.where)}`
    case 'ended':
      return endOf(state, states.fileEnds)
  }
}

/** Only an error says more than its kind: such as that the disk is full. */
function endOf({ reason, detail }: FileState & { name: 'ended' }, ends: Words['states']['fileEnds']): string {
  const isError = reason === 'error-here' || reason === 'error-there'
  return isError && detail !== '' ? `${ends[reason]}: ${shownName(detail)}` : ends[reason]
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
