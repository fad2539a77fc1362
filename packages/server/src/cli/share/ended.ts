import type { SessionEnd, ShareSession, TransferFile } from '@peerage/client/transfer'
import type { ExitCode } from '../surroundings.js'

export const filesOf = ({ transfer }: ShareSession, direction: 'in' | 'out'): TransferFile[] =>
  transfer.state.items.filter((item) => item.kind === 'file').filter((file) => file.direction === direction)

export const isOver = ({ state }: TransferFile): boolean =>
  state.name === 'complete' || state.name === 'ended'

/** 0 if every file has arrived, 1 if one failed, 3 if they were not wanted or were cancelled. */
export function codeOfFiles(files: readonly TransferFile[]): ExitCode {
  const ends = files.flatMap(({ state }) => (state.name === 'ended' ? [state.reason] : []))
  const byHand = ends.filter((reason) => /^(?:rejected|cancelled-here|cancelled-there)$/.test(reason))
  if (ends.length > byHand.length || files.some((file) => !isOver(file))) return 1
  const isNothing = files.length > 0 && byHand.length === files.length
  return isNothing || byHand.some((reason) => reason !== 'rejected') ? 3 : 0
}

/** 4: the link, the code or the password is wrong. 1: anything else that ended a session before its files had arrived. */
export function codeOfEnd(why: SessionEnd): ExitCode {
  switch (why) {
    case 'wrong-link':
    case 'not-verified':
    case 'wrong-password':
    case 'locked':
    case 'wrong-code':
      return 4
    case 'closed-here':
      return 3
    case 'not-found':
    case 'taken-elsewhere':
    case 'stopped':
    case 'expired':
    case 'peer-left':
    case 'self-closed':
    case 'closed-there':
    case 'incompatible':
    case 'failed':
      return 1
  }
}
