import type { Progress, ShareSession, SharePath, TransferFile } from '@peerage/client/transfer'
import type { ShareEvent, Tell } from './events.js'
import type { Screen } from './screen.js'
import { bar, durationText, filesText, fit, percent, sizeText, visible, visibleLines } from './words.js'

/** The most files that have a line of their own while they move. */
const LINES_MAX = 8
const BAR_COLUMNS = 20
/** Without a terminal, progress is a line only this often. */
const PLAIN_EVERY_MS = 10_000

/** Tells events to people. Texts and links go to `out`, everything else to the screen. */
export interface Printer {
  tell: Tell
  /** Draws the files that move now. */
  draw: (sessions: readonly ShareSession[]) => void
}

interface PrinterParts {
  screen: Screen
  command: 'send' | 'receive'
  out: (line: string) => void
  /** The time in milliseconds. */
  now: () => number
}

export function createPrinter({ screen, command, out, now }: PrinterParts): Printer {
  let toldAt = now()
  return {
    tell(event) {
      if (event.event === 'progress') {
        if (screen.isLive || event.bytesDone >= event.bytes || now() - toldAt < PLAIN_EVERY_MS) return
        toldAt = now()
      }
      if (event.event === 'text' && event.direction === 'in') return out(visibleLines(event.text))
      // The only session of `receive` ends with the command, which says how.
      if (event.event === 'closed' && command === 'receive') return
      for (const line of linesOf(event)) screen.print(line)
    },
    draw(sessions) {
      screen.live(sessions.flatMap((session) => liveLines(session, command, screen.columns())))
    },
  }
}

const paths: Record<SharePath, string> = {
  direct: 'directly',
  relayed: 'through a relay (TURN), which cannot read anything',
  server: 'through the server, which cannot read anything, and more slowly',
}

/** What people read about an event. Links, codes and texts are printed elsewhere. */
function linesOf(event: ShareEvent): string[] {
  switch (event.event) {
    case 'share':
    case 'code':
    case 'connecting':
    case 'offer':
      return []
    case 'code-gone':
      return [codeGone(event)]
    case 'skipped':
      return [`left out: ${visible(event.path)}: ${visible(event.why)}`]
    case 'open':
      return [`${who(event)}: connected ${paths[event.path]}`]
    case 'reconnecting':
      return [
        event.isPeerAway
          ? `${who(event)}: gone; it may come back`
          : `${who(event)}: the connection is lost; making a new one`,
      ]
    case 'closed':
      return event.why === 'closed-here' ? [] : [`${who(event)}: ended: ${visible(event.detail)}`]
    case 'file':
      return fileLines(event)
    case 'progress':
      return [`${who(event)}: ${progressText(event)}`]
    case 'text':
      return [`${who(event)}: has the text`]
    case 'warning':
      return [visible(event.message)]
    case 'error':
      return [`peerage: ${visible(event.message)}`]
    case 'end':
      return event.message === '' ? [] : event.message.split('\n').map(visible)
  }
}

function who(event: { peer: string } | { peer: string; device: string }): string {
  const device = 'device' in event ? event.device : ''
  const name = visible(event.peer).slice(0, 8)
  return device === '' ? name : `${visible(device)} (${name})`
}

function codeGone({ why, detail }: { why: string; detail: string }): string {
  switch (why) {
    case 'used':
      return 'The code was used. Its guest has come in.'
    case 'burnt':
      return 'Somebody entered a wrong code, so the code is void. A new one follows.'
    default:
      return `There is no code: ${visible(detail)}`
  }
}

function fileLines(event: ShareEvent & { event: 'file' }): string[] {
  const { state, size, direction, reason, detail = '', savedTo } = event
  const path = visible(event.path)
  if (state === 'complete')
    return direction === 'in'
      ? [`received ${savedTo === undefined ? path : visible(savedTo)} (${sizeText(size)})`]
      : [`${who(event)}: has ${path} (${sizeText(size)})`]
  if (state !== 'ended' || reason === undefined) return []
  const why = visible(detail === '' ? reason : detail)
  return [direction === 'in' ? `not received: ${path}: ${why}` : `${who(event)}: ${path}: ${why}`]
}

function progressText({
  files,
  filesComplete,
  bytes,
  bytesDone,
  bytesPerSecond,
  secondsLeft,
}: Progress): string {
  const speed = bytesPerSecond > 0 ? `, ${sizeText(bytesPerSecond)}/s` : ''
  const left = secondsLeft === undefined ? '' : `, ${durationText(secondsLeft)} left`
  const done = `${sizeText(bytesDone)} of ${sizeText(bytes)} (${percent(bytesDone, bytes)} %)`
  return `${filesComplete} of ${filesText(files)}, ${done}${speed}${left}`
}

/** One line for each file that moves, and one for all of them together. */
function liveLines(
  { peer, state, transfer }: ShareSession,
  command: 'send' | 'receive',
  columns: number,
): string[] {
  if (state.name === 'ended') return []
  const { items, in: incoming, out } = transfer.state
  const moving = items.filter((item) => item.kind === 'file').filter((file) => isShown(file))
  const lines = moving.slice(0, LINES_MAX).map((file) => fileLine(file, columns))
  // `receive` has one session alone.
  const label = command === 'receive' ? '' : `${who({ peer: peer.name, device: peer.device })}: `
  for (const progress of [incoming, out])
    if (progress.bytesDone < progress.bytes) lines.push(fit(label + progressText(progress), columns - 1))
  return lines
}

const isShown = ({ state }: TransferFile): boolean =>
  (state.name === 'accepted' && state.isMoving) || state.name === 'paused' || state.name === 'checking'

function fileLine({ path, size, bytesDone, state }: TransferFile, columns: number): string {
  const word = state.name === 'paused' ? 'paused' : state.name === 'checking' ? 'checking' : ''
  const right = `${bar(bytesDone, size, BAR_COLUMNS)} ${String(percent(bytesDone, size)).padStart(3)} % ${word}`
  const room = Math.max(8, columns - right.length - 2)
  return `${fit(visible(path), room).padEnd(room)} ${right}`.trimEnd()
}
