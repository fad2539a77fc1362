import type { EndReason, TransferFile } from '@peerage/client/transfer'
import { percentOf, timeLeft } from '../model/format.js'
import { shownName } from '../model/kinds.js'
import type { StoreKind } from '../storage/storage.js'
import type { Words } from '../words/words.js'
import type { Texts } from './hooks.js'

/** What is said below the name of a file. */
export function noteOf(
  { path, size, bytesDone, state, direction }: TransferFile,
  bytesPerSecond: number,
  place: StoreKind | undefined,
  { words, size: sizeOf }: Texts,
): string {
  const all = sizeOf(size)
  const some = `${percentOf(bytesDone, size)} %`
  const { fileStates } = words
  switch (state.name) {
    case 'offered':
      return `${all} · ${direction === 'out' ? fileStates.offeredOut : fileStates.offeredIn}`
    case 'accepted': {
      if (!state.isMoving) return `${all} · ${fileStates.waiting}`
      const moving = [some, `${sizeOf(bytesDone)} / ${all}`]
      if (bytesPerSecond > 0)
        moving.push(
          words.speed(sizeOf(bytesPerSecond)),
          words.left(timeLeft((size - bytesDone) / bytesPerSecond)),
        )
      return moving.join(' · ')
    }
    case 'paused':
      if (state.isMissing === true)
        return `${some} · ${direction === 'out' ? fileStates.missingHere : fileStates.missingThere}`
      return `${some} · ${state.here ? fileStates.pausedHere : fileStates.pausedThere}`
    case 'checking':
      return `${all} · ${fileStates.checking}`
    case 'complete':
      if (direction === 'out') return `${all} · ${fileStates.completeOut}`
      if (state.received?.kind !== 'saved') return `${all} · ${fileStates.completeIn}`
      return `${all} · ${savedTo(state.received.where, path, place, words)}`
    case 'ended':
      return endOf(state.reason, state.detail, direction, words)
  }
}

/** `where`: the name of the file or of its folder, as the store gave it. */
function savedTo(where: string, path: string, place: StoreKind | undefined, words: Words): string {
  if (place === 'downloads') return words.savedToDownloads(shownName(where))
  if (place === 'zip-download' || place === 'picked-zip') return words.savedInZip
  // The name of the file itself says nothing new.
  return path.endsWith(where) ? words.saved : words.savedIn(shownName(where))
}

/** Only an error says more than its kind: such as that the disk is full. */
function endOf(reason: EndReason, detail: string, direction: 'in' | 'out', { states }: Words): string {
  if (reason !== 'error-here' && reason !== 'error-there') return states.fileEnds[reason]
  const what = states.fileErrors[reason][direction]
  return detail === '' ? what : `${what}: ${shownName(states.why(detail))}`
}
