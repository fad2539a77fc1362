import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { fakeFile, fakeSession } from '../../testing/fake-share.js'
import type { ShareEvent } from './events.js'
import { createPrinter } from './printer.js'
import { createScreen } from './screen.js'

function open(command: 'send' | 'receive', { isTTY = false } = {}) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 60 })
  const out: string[] = []
  let now = 0
  const printer = createPrinter({
    screen: createScreen(stream),
    command,
    out: (line) => void out.push(line),
    now: () => now,
  })
  return {
    ...printer,
    out,
    written: () => String(stream.read() ?? ''),
    pass: (ms: number) => void (now += ms),
  }
}

const peer = 'ann-of-the-host'
const file = { event: 'file', peer, path: 'a\u001B[2J.txt', size: 1_500_000 } as const
const progress = {
  event: 'progress',
  peer,
  direction: 'in',
  files: 3,
  filesComplete: 1,
  bytes: 4_000_000,
  bytesDone: 1_000_000,
  bytesPerSecond: 500_000,
  secondsLeft: 6,
} as const

test.each<['send' | 'receive', ShareEvent, string]>([
  [
    'receive',
    { ...file, direction: 'in', state: 'complete', savedTo: '/x/a.txt' },
    'received /x/a.txt (1.5 MB)\n',
  ],
  ['receive', { ...file, direction: 'in', state: 'checking' }, ''],
  [
    'receive',
    { ...file, direction: 'in', state: 'ended', reason: 'error-here', detail: 'the disk is full' },
    'not received: a\uFFFD[2J.txt: the disk is full\n',
  ],
  ['send', { ...file, direction: 'out', state: 'complete' }, 'ann-of-t: has a\uFFFD[2J.txt (1.5 MB)\n'],
  [
    'send',
    { event: 'open', peer, path: 'direct', device: 'Firefox' },
    'Firefox (ann-of-t): connected directly\n',
  ],
  ['send', { event: 'reconnecting', peer, isPeerAway: true }, 'ann-of-t: gone; it may come back\n'],
  [
    'send',
    { event: 'closed', peer, why: 'peer-left', detail: 'the guest left' },
    'ann-of-t: ended: the guest left\n',
  ],
  ['receive', { event: 'closed', peer, why: 'peer-left', detail: 'the host left' }, ''],
  ['send', { event: 'skipped', path: 'x', why: 'it is a pipe' }, 'left out: x: it is a pipe\n'],
  ['send', { event: 'error', message: 'no' }, 'peerage: no\n'],
  ['send', { event: 'end', code: 0, message: 'one\ntwo' }, 'one\ntwo\n'],
])('%s tells %j', (command, event, text) => {
  const { tell, written } = open(command)
  tell(event)
  expect(written()).toBe(text)
})

test('a text goes to standard output, without what a terminal would obey', () => {
  const { tell, out, written } = open('receive')
  tell({ event: 'text', peer, direction: 'in', text: 'one\ntwo\u001B]0;x\u0007' })
  expect([out, written()]).toEqual([['one\ntwo\uFFFD]0;x\uFFFD'], ''])
})

test('without a terminal, progress is a line now and then', () => {
  const { tell, written, pass } = open('receive')
  tell(progress)
  expect(written()).toBe('')
  pass(10_000)
  tell(progress)
  tell(progress)
  expect(written()).toBe('ann-of-t: 1 of 3 files, 1.0 MB of 4.0 MB (25 %), 500 kB/s, 6 s left\n')
})

test('on a terminal, each file that moves has a line, and all together have one', () => {
  const { draw, written } = open('receive', { isTTY: true })
  const { session, set } = fakeSession()
  set({
    state: { name: 'open', path: 'direct', sameLan: false },
    items: [
      fakeFile('waits', { name: 'accepted', isMoving: false }),
      fakeFile(`${'long/'.repeat(20)}name.txt`, { name: 'accepted', isMoving: true }, { bytesDone: 50 }),
    ],
  })
  draw([session])
  const lines = written().split('\n')
  expect(lines[0]).toMatch(/^long\/.*….*name\.txt +\[#{10}-{10}\] {2}50 %$/)
  expect(lines[1]).toBe('0 of 2 files, 50 B of 200 B (25 %)')
  for (const line of lines) expect(line.length).toBeLessThan(60)
})
