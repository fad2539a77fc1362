import type { FileState, ShareSession, TransferFile, TransferItem } from '@peerage/client/transfer'

/** A session on the host's page. `isReplaced`: the guest has loaded its page again, and goes on in a later session. */
export interface GuestCard {
  session: ShareSession
  isReplaced: boolean
}

/**
 * The sessions that are shown. A session that a reload of the guest's page has replaced is shown only for what the guest
 * sent in it, because nothing else shows that.
 */
export function guestCards(sessions: readonly ShareSession[]): GuestCard[] {
  const latest = new Map(sessions.map((session) => [session.peer.name, session]))
  return sessions
    .map((session) => ({
      session,
      isReplaced: session.state.name === 'ended' && latest.get(session.peer.name) !== session,
    }))
    .filter(({ session, isReplaced }) => !isReplaced || received(session).length > 0)
}

/** What the other side sent in a session that is over: its texts, and its files that are complete. */
export const received = ({ transfer }: ShareSession): TransferItem[] =>
  transfer.state.items.filter(
    (item) => item.direction === 'in' && (item.kind === 'text' || item.state.name === 'complete'),
  )

/**
 * Whether the other side has each file of this side that it wanted, and at least one. `hadBefore`: it has the file from
 * an earlier session.
 */
export const hasAll = (session: ShareSession, hadBefore: (file: TransferFile) => boolean): boolean =>
  isAllThere(session, 'out', hadBefore)

/** Whether this side has each file that it wanted, and at least one. */
export const gotAll = (session: ShareSession): boolean => isAllThere(session, 'in', () => false)

function isAllThere(
  { transfer }: ShareSession,
  direction: 'in' | 'out',
  hadBefore: (file: TransferFile) => boolean,
): boolean {
  const files = transfer.state.items.filter(
    (item): item is TransferFile => item.kind === 'file' && item.direction === direction,
  )
  const isThere = (file: TransferFile): boolean => file.state.name === 'complete' || hadBefore(file)
  return files.some(isThere) && files.every((file) => isThere(file) || isUnwanted(file.state))
}

const isUnwanted = (state: FileState): boolean => state.name === 'ended' && state.reason === 'rejected'
