import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { createAsker } from './ask.js'

function open() {
  const [stdin, stderr] = [0, 1].map(() => Object.assign(new PassThrough(), { isTTY: true, columns: 80 }))
  if (stdin === undefined || stderr === undefined) throw new Error('no streams')
  const terminate = new AbortController()
  const asker = createAsker({ stdin, stdout: new PassThrough(), stderr }, terminate.signal)
  if (asker === undefined) throw new Error('nobody can be asked')
  return {
    asker,
    terminate,
    type: (text: string) => stdin.write(text),
    shown: () => String(stderr.read() ?? ''),
  }
}

test('a question is answered by a line', async () => {
  const { asker, type, shown } = open()
  const first = asker.ask('Name? ')
  type('ann\r')
  expect(await first).toBe('ann')
  const second = asker.ask('And? ')
  type('bob\r')
  expect(await second).toBe('bob')
  expect(shown()).toContain('Name? ')
})

test('a password is not shown', async () => {
  const { asker, type, shown } = open()
  const answer = asker.ask('Password: ', { isHidden: true })
  type('sesame\r')
  expect(await answer).toBe('sesame')
  expect(shown()).toBe('Password: \n')
})

test('Tab completes', async () => {
  const { asker, type, shown } = open()
  const answer = asker.ask('Code? ', { completer: () => [['otter-'], 'ot'] })
  // A Tab amid other characters would be a pasted one.
  type('17-ot')
  await expect.poll(shown).toContain('17-ot')
  type('\t')
  await expect.poll(shown).toContain('ter-')
  type('tulip\r')
  expect(await answer).toBe('17-otter-tulip')
})

test.each([
  ['Ctrl-C', '\u0003'],
  ['Ctrl-D', '\u0004'],
])('%s ends the question', async (_, key) => {
  const { asker, type } = open()
  const answer = asker.ask('Name? ')
  type(key)
  expect(await answer).toBeUndefined()
})

test('a process that is told to end asks no more', async () => {
  const { asker, terminate } = open()
  const answer = asker.ask('Name? ')
  terminate.abort()
  expect(await answer).toBeUndefined()
  expect(await asker.ask('Name? ')).toBeUndefined()
})

test('without a terminal, nobody is asked', () => {
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() }
  expect(createAsker(streams, new AbortController().signal)).toBeUndefined()
})
