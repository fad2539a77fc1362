import type { TransferItem } from '@peerage/client/transfer'
import { describe, expect, test } from 'vitest'
import { FakeSession, FakeTransfer } from '../demo/fake-share.js'
import { complete, failed, file, moving, text } from '../demo/pieces.js'
import { guestCards, hasAll } from './guest-cards.js'

const session = (isOver: boolean, items: readonly TransferItem[] = [], name = 'guest'): FakeSession =>
  new FakeSession({
    role: 'host',
    name,
    transfer: new FakeTransfer(items),
    ...(isOver && { state: { name: 'ended', why: 'closed-there', detail: '' } as const }),
  })

describe('the cards of the guests', () => {
  const cancelled = file('film', 9, failed('cancelled-there'), 'out')

  test('a session that a reload of the guest has replaced has no card', () => {
    const now = session(false, [file('film', 9, moving, 'out')])
    expect(guestCards([session(true, [cancelled]), now])).toEqual([{ session: now, isReplaced: false }])
  })

  test('it has one for what the guest sent in it', () => {
    const [before, now] = [session(true, [cancelled, text('1', 'in', 'hello')]), session(false)]
    expect(guestCards([before, now])).toEqual([
      { session: before, isReplaced: true },
      { session: now, isReplaced: false },
    ])
  })

  test('a guest that has left, and others, keep theirs', () => {
    const [gone, other] = [session(true, [cancelled]), session(false, [], 'other')]
    expect(guestCards([gone, other]).map(({ isReplaced }) => isReplaced)).toEqual([false, false])
  })
})

test.each<[boolean, string, readonly TransferItem[]]>([
  [true, 'all are complete', [file('a', 1, complete, 'out'), file('b', 1, complete)]],
  [true, 'the rest was declined', [file('a', 1, complete, 'out'), file('b', 1, failed('rejected'), 'out')]],
  [false, 'one moves', [file('a', 1, complete, 'out'), file('b', 1, moving, 'out')]],
  [
    false,
    'one was cancelled',
    [file('a', 1, complete, 'out'), file('b', 1, failed('cancelled-there'), 'out')],
  ],
  [false, 'one was not answered', [file('a', 1, complete, 'out'), file('b', 1, { name: 'offered' }, 'out')]],
  [false, 'nothing was wanted', [file('a', 1, failed('rejected'), 'out')]],
])('a guest has everything: %s, because %s', (expected, _why, items) => {
  expect(hasAll(session(true, items), () => false)).toBe(expected)
})
