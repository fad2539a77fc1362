import type { TransferControls, TransferFile } from '@peerage/client/transfer'
import { percentOf, timeLeft } from '../model/format.js'
import { useTexts } from './hooks.js'

/** How far all files of one direction are. */
export function SumView({
  transfer,
  direction,
  before = 0,
}: {
  transfer: TransferControls
  direction: 'in' | 'out'
  /** How many files the other side has from an earlier session. */
  before?: number
}) {
  const { words, count, size } = useTexts()
  const sum = transfer.state[direction]
  if (sum.files + before === 0) return null
  const done = sum.filesComplete + before
  const all = sum.files + before
  if (done >= all)
    return (
      <p class="sum-done" role="status">
        {direction === 'in' ? words.doneIn(done, count(done)) : words.doneOut(done, count(done))}
      </p>
    )
  const title = (direction === 'in' ? words.sumIn : words.sumOut)(done, all, count(done), count(all))
  const moving = transfer.state.items.filter(
    (item): item is TransferFile =>
      item.kind === 'file' &&
      item.direction === direction &&
      (item.state.name === 'accepted' || item.state.name === 'paused'),
  )
  const parts = [`${percentOf(sum.bytesDone, sum.bytes)} %`, `${size(sum.bytesDone)} / ${size(sum.bytes)}`]
  // The rate is over some seconds, so it lasts longer than what moves.
  if (sum.bytesPerSecond > 0 && moving.some(({ state }) => state.name === 'accepted')) {
    parts.push(words.speed(size(sum.bytesPerSecond)))
    if (sum.secondsLeft !== undefined) parts.push(words.left(timeLeft(sum.secondsLeft)))
  }
  // Only its choosing makes a file go on that this page has lost by a reload.
  const keys = moving.filter((file) => direction === 'in' || !isMissing(file)).map(({ key }) => key)
  const isPaused = moving.length > 0 && moving.every(({ state }) => state.name === 'paused' && state.here)
  return (
    <div class="sum">
      <p class="sum-title">{title}</p>
      <progress max={Math.max(1, sum.bytes)} value={sum.bytesDone} aria-label={title} />
      <p class="soft numbers">{parts.join(' · ')}</p>
      {/* In a line of their own, so that they stay where they are while the numbers change. */}
      {keys.length > 0 && (
        <div class="row">
          {isPaused ? (
            <button type="button" class="quiet" onClick={() => transfer.resume(keys)}>
              {words.resumeAll}
            </button>
          ) : (
            <button type="button" class="quiet" onClick={() => transfer.pause(keys)}>
              {words.pauseAll}
            </button>
          )}
          <button type="button" class="quiet" onClick={() => transfer.cancel(keys)}>
            {words.cancelAll}
          </button>
        </div>
      )}
    </div>
  )
}

const isMissing = ({ state }: TransferFile): boolean => state.name === 'paused' && state.isMissing === true
