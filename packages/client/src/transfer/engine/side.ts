import type { Clock } from '../../lib/clock.js'
import type { Control } from './codec.js'
import { DETAIL_LENGTH_MAX, IDS_MAX } from './limits.js'
import type { FileRecord } from './record.js'
import type { EndReason } from '../types.js'

/** What both directions of a transfer need. */
export interface SideOptions {
  clock: Clock
  /** The largest payload of a part, in bytes. */
  partBytesMax?: number | undefined
  /** Sends on the conduit that is attached. Without one, nothing is sent: each attach tells everything that counts. */
  send: (message: Control) => void
  /** A new file is to be shown. */
  added: (file: FileRecord) => void
  /** `isProgress`: merely bytes. */
  changed: (isProgress: boolean) => void
  /** The other side broke the protocol in a way that concerns no single file. */
  breach: (what: string) => void
  onError: (error: unknown) => void
}

/** File numbers, in lists that fit into messages. */
export function* inPages(ids: Iterable<number>): Generator<number[]> {
  let page: number[] = []
  for (const id of ids) {
    page.push(id)
    if (page.length < IDS_MAX) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}

/** Tells the other side again which files have ended, and which ones are paused. */
export function tellStates(
  records: Iterable<FileRecord>,
  of: 'mine' | 'yours',
  send: (message: Control) => void,
): void {
  const paused: number[] = []
  const missing: number[] = []
  const ended = new Map<string, { tell: EndTold; detail: string; ids: number[] }>()
  for (const { file, paused: sides, isMissing, isUnfinished, phase } of records) {
    if (isUnfinished && sides.here) (of === 'mine' && isMissing ? missing : paused).push(file.id)
    if (phase.name !== 'ended') continue
    const { tell, detail } = phase
    const alike = ended.get(`${tell} ${detail}`)
    if (alike === undefined) ended.set(`${tell} ${detail}`, { tell, detail, ids: [file.id] })
    else alike.ids.push(file.id)
  }
  for (const one of ended.values()) tellEnd(one, one.ids, of, send)
  for (const files of inPages(paused)) send({ type: 'pause', of, files, on: true })
  for (const files of inPages(missing)) send({ type: 'pause', of, files, on: true, isMissing: true })
}

/** Tells the other side that files have ended, if it does not know. */
export function tellEnd(
  { tell, detail }: { tell: EndTold; detail: string },
  ids: Iterable<number>,
  of: 'mine' | 'yours',
  send: (message: Control) => void,
): void {
  if (tell === undefined) return
  for (const files of inPages(ids))
    send(
      tell === 'reject'
        ? { type: 'reject', files }
        : { type: 'end', of, files, reason: tell, detail: detail.slice(0, DETAIL_LENGTH_MAX) },
    )
}

type EndTold = Extract<FileRecord['phase'], { name: 'ended' }>['tell']

/** How files end: why, in words for people, and whether the other side said so. */
export interface Ending {
  reason: EndReason
  detail: string
  isHeard?: boolean
}
