import type { ShareSession, TransferFile } from '@peerage/client/transfer'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { kindOf, shownName } from '../model/kinds.js'
import { treeOf } from '../model/tree.js'
import { PartMissing } from '../model/world.js'
import type { StoreChoice } from '../storage/storage.js'
import { useModel, usePart, useTexts } from './hooks.js'
import { OfferTree } from './offer-tree.js'
import { Advice, WITH_TLS } from './advice.js'

/** Files that the other side offers: what they are, where they would go, and the buttons to take them or not. */
export function Offer({
  session,
  files,
  hasFocus,
  onAnswer,
}: {
  session: ShareSession
  files: readonly TransferFile[]
  /** The person has asked for it, by a button that is gone. */
  hasFocus: boolean
  /** The person has accepted or declined. */
  onAnswer: () => void
}) {
  const model = useModel()
  // The storage starts when nothing else is to do, and may not be there yet.
  usePart(() => model.openSaving(), 'saving')
  const { saving } = model
  const { isSecure } = model.world.features
  const { words, count, size, friend } = useTexts()
  // Only what was left out is kept, so that files that are offered later are chosen too.
  const [leftOut, setLeftOut] = useState<ReadonlySet<string>>(new Set())
  const [wanted, setWanted] = useState<StoreChoice['kind']>()
  const [wasClosed, setClosed] = useState(false)
  const title = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    if (hasFocus) title.current?.focus()
  }, [hasFocus])
  const tree = useMemo(() => treeOf(files), [files.length, files[0]?.key])
  const chosen = files.filter(({ key }) => !leftOut.has(key))
  const bytes = chosen.reduce((sum, file) => sum + file.size, 0)
  const allBytes = files.reduce((sum, file) => sum + file.size, 0)
  const possible = saving?.choices(chosen) ?? []
  const best = possible.find(({ fits }) => fits) ?? possible[0]
  const way = possible.find(({ kind }) => kind === wanted) ?? best
  const isTooBig = way !== undefined && !way.fits

  const sum = words.offerHeading(files.length, count(files.length), size(allBytes))
  const programs = chosen.filter((file) => kindOf(file.path, file.type) === 'program')
  const [program] = programs
  const missing = chosen.filter(({ state }) => state.name === 'offered' && state.isMissing === true).length

  const accept = (): void => {
    if (way === undefined || saving === undefined) return
    // Before anything is awaited: a browser opens its dialog only in the click itself.
    saving.open(way, chosen).then(
      (opened) => {
        setClosed(opened === undefined)
        if (opened === undefined) return
        model.accept(session, chosen, way, opened)
        onAnswer()
      },
      (error: unknown) => {
        if (error instanceof PartMissing) return model.tellMissing(error)
        console.warn(error)
        setClosed(true)
      },
    )
  }
  return (
    <section class="offer" aria-labelledby="offer-title">
      <h2 id="offer-title" ref={title} tabIndex={-1}>
        {session.role === 'host' ? words.offerFrom(friend(session.peer.name), sum) : sum}
      </h2>
      <OfferTree tree={tree} files={files} leftOut={leftOut} onLeftOut={setLeftOut} />
      {session.isOneTime && !session.hasTaken && <p class="mark">{words.forOnePerson}</p>}
      {missing > 0 && <p class="mark">{words.offerMissing(missing, count(missing))}</p>}
      {program && (
        <p class="mark">
          {words.programWarning(shownName(program.path), programs.length - 1, count(programs.length - 1))}
        </p>
      )}
      <WayChoice
        ways={possible}
        best={best}
        chosen={way}
        hasFolders={chosen.some(({ path }) => path.includes('/'))}
        onChoose={setWanted}
      />
      {isTooBig && (
        <p class="why" role="alert">
          {!isSecure
            ? words.plainTooBig(size(way.bytesMax))
            : possible.some(({ fits }) => fits)
              ? words.tooBigForWay(size(way.bytesMax))
              : words.noWayFits(size(Math.max(...possible.map(({ bytesMax }) => bytesMax))))}
        </p>
      )}
      {!isSecure && !isTooBig && <p class="hint">{words.plainReceive}</p>}
      {isTooBig && !isSecure && <Advice command={WITH_TLS} text={words.plainHow} />}
      {wasClosed && (
        <p class="hint" role="status">
          {words.placeNotChosen}
        </p>
      )}
      <div class="row wrap">
        <button
          type="button"
          disabled={chosen.length === 0 || isTooBig || way === undefined}
          onClick={accept}
        >
          {chosen.length === 0
            ? words.acceptNone
            : words.accept(chosen.length, count(chosen.length), size(bytes))}
        </button>
        <button
          type="button"
          class="quiet"
          onClick={() => {
            session.transfer.reject(files.map(({ key }) => key))
            onAnswer()
          }}
        >
          {words.decline}
        </button>
      </div>
    </section>
  )
}

/** Where the files go, and what survives a reload. The best way is shown, and the others on demand. */
function WayChoice({
  ways,
  best,
  chosen,
  hasFolders,
  onChoose,
}: {
  ways: readonly StoreChoice[]
  best: StoreChoice | undefined
  chosen: StoreChoice | undefined
  hasFolders: boolean
  onChoose: (kind: StoreChoice['kind']) => void
}) {
  const { words, size } = useTexts()
  if (best === undefined) return null
  const option = (way: StoreChoice) => (
    <label key={way.kind} class="check">
      <input type="radio" name="way" checked={way === chosen} onChange={() => onChoose(way.kind)} />
      <span>
        {words.ways[way.kind].title}
        <span class="hint block">
          {words.ways[way.kind].text}
          {way.kind === 'own-storage' && hasFolders && words.wayWithoutFolders}
          {Number.isFinite(way.bytesMax) && words.wayLimit(size(way.bytesMax))}
        </span>
      </span>
    </label>
  )
  const others = ways.filter((way) => way !== best)
  return (
    <fieldset class="ways">
      <legend>{words.saveHeading}</legend>
      {option(best)}
      {others.length > 0 && (
        <details class="details">
          <summary>{words.otherPlaces}</summary>
          {others.map(option)}
        </details>
      )}
    </fieldset>
  )
}
