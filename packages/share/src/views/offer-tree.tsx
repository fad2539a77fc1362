import type { TransferFile } from '@peerage/client/transfer'
import { useState } from 'preact/hooks'
import { kindOf, shownName } from '../model/kinds.js'
import type { Entry, Folder, Line } from '../model/tree.js'
import { visibleLines } from '../model/tree.js'
import { useTexts } from './hooks.js'
import { Icon } from './icons.js'

const LINES_FIRST = 20
const LINES_MORE = 200
/** Up to so many files, all folders are open at first. */
const OPEN_FILES_MAX = 12

/** The offered files, each with a box to choose it. */
export function OfferTree({
  tree,
  files,
  leftOut,
  onLeftOut,
}: {
  tree: readonly Entry<TransferFile>[]
  files: readonly TransferFile[]
  leftOut: ReadonlySet<string>
  onLeftOut: (leftOut: ReadonlySet<string>) => void
}) {
  const { words, count } = useTexts()
  const [turned, setTurned] = useState<ReadonlySet<string>>(new Set())
  const [max, setMax] = useState(LINES_FIRST)
  const startsOpen = files.length <= OPEN_FILES_MAX
  const isOpen = (folder: Folder<TransferFile>): boolean => turned.has(folder.path) !== startsOpen
  const { lines, filesLeft } = visibleLines(tree, isOpen, max)

  const choose = (some: readonly TransferFile[], isWanted: boolean): void => {
    const next = new Set(leftOut)
    for (const { key } of some)
      if (isWanted) next.delete(key)
      else next.add(key)
    onLeftOut(next)
  }
  const turn = ({ path }: Folder<TransferFile>): void => {
    const next = new Set(turned)
    if (!next.delete(path)) next.add(path)
    setTurned(next)
  }
  return (
    <div class="stack">
      {files.length > 1 && (
        <label class="check all">
          <Box files={files} leftOut={leftOut} onChange={(isWanted) => choose(files, isWanted)} />
          <span>{words.selectAll}</span>
        </label>
      )}
      <ul class="tree">
        {lines.map((line) => (
          <TreeLine
            key={line.entry.kind === 'file' ? line.entry.file.key : line.entry.path}
            line={line}
            isOpen={line.entry.kind === 'folder' && isOpen(line.entry)}
            leftOut={leftOut}
            onChoose={choose}
            onTurn={turn}
          />
        ))}
      </ul>
      {filesLeft > 0 && (
        <p class="row spread soft">
          {words.andMore(filesLeft, count(filesLeft))}
          <button type="button" class="quiet" onClick={() => setMax(max + LINES_MORE)}>
            {words.showMore}
          </button>
        </p>
      )}
    </div>
  )
}

function TreeLine({
  line: { depth, entry },
  isOpen,
  leftOut,
  onChoose,
  onTurn,
}: {
  line: Line<TransferFile>
  isOpen: boolean
  leftOut: ReadonlySet<string>
  onChoose: (files: readonly TransferFile[], isWanted: boolean) => void
  onTurn: (folder: Folder<TransferFile>) => void
}) {
  const { words, count, size } = useTexts()
  const name = shownName(entry.name)
  const files = entry.kind === 'file' ? [entry.file] : entry.files
  return (
    <li
      class={`tree-line depth-${Math.min(depth, 4)}`}
      data-offered={entry.kind === 'file' ? entry.file.path : entry.path}
    >
      <label class="check">
        <Box
          files={files}
          leftOut={leftOut}
          label={words.selectFile(name)}
          onChange={(isWanted) => onChoose(files, isWanted)}
        />
        <Icon name={entry.kind === 'folder' ? 'folder' : kindOf(entry.file.path, entry.file.type)} />
        <span class="file-main">
          <span class="file-name">{name}</span>
          <span class="file-note">
            {entry.kind === 'file'
              ? size(entry.file.size)
              : `${words.folderFiles(entry.files.length, count(entry.files.length))} · ${size(entry.bytes)}`}
          </span>
        </span>
      </label>
      {entry.kind === 'folder' && (
        <button
          type="button"
          class="icon-button"
          aria-expanded={isOpen}
          aria-label={isOpen ? words.closeFolder(name) : words.openFolder(name)}
          onClick={() => onTurn(entry)}
        >
          <Icon name={isOpen ? 'down' : 'right'} />
        </button>
      )}
    </li>
  )
}

/** A box for some files: checked, unchecked, or in between. */
function Box({
  files,
  leftOut,
  label,
  onChange,
}: {
  files: readonly TransferFile[]
  leftOut: ReadonlySet<string>
  label?: string
  onChange: (isWanted: boolean) => void
}) {
  const out = files.filter(({ key }) => leftOut.has(key)).length
  return (
    <input
      type="checkbox"
      aria-label={label}
      checked={out === 0}
      ref={(box) => {
        if (box) box.indeterminate = out > 0 && out < files.length
      }}
      onChange={(event) => onChange(event.currentTarget.checked)}
    />
  )
}
