import type { ShareSession } from '@peerage/client/transfer'

/** Whether files of the session are on their way. */
export function hasMoving({ state, transfer }: ShareSession): boolean {
  const { in: incoming, out } = transfer.state
  const isMoving = incoming.filesComplete < incoming.files || out.filesComplete < out.files
  return state.name !== 'ended' && isMoving
}

/** How many files this side has offered. */
export const sharedOut = ({ transfer }: ShareSession): number =>
  transfer.state.items.filter((item) => item.kind === 'file' && item.direction === 'out').length
