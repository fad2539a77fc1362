import { StoreError } from '@peerage/client/transfer'
import { describe, expect, test } from 'vitest'
import { fakeFile, fakeSession } from '../../testing/fake-share.js'
import type { ShareEvent } from './events.js'
import { receiveFrom, type Check } from './receiving.js'

const OPEN = { name: 'open', path: 'direct', sameLan: false } as const

/** `answers`: what the person types, in order. Without any, there is nobody to ask. `isYes`: by default, then. */
interface Begin {
  answers?: (string | undefined)[]
  isYes?: boolean
  isStream?: boolean
  check?: Check
}

function begin({
  answers,
  isYes = answers === undefined,
  isStream = false,
  check = async () => [],
}: Begin = {}) {
  const fake = fakeSession()
  const told: ShareEvent[] = []
  const [questions, said, kept]: [string[], string[], string[]] = [[], [], []]
  const terminate = new AbortController()
  const ending = receiveFrom(fake.session, {
    isYes,
    isStream,
    check,
    asker: answers && {
      ask: async (question) => {
        questions.push(question)
        return answers.shift()
      },
    },
    output: {
      tell: (event) => told.push(event),
      draw: () => {},
      say: (line) => said.push(line),
      out: () => {},
    },
    terminated: terminate.signal,
    keepTicket: async (ticket) => void kept.push(`${ticket}, after ${fake.calls.length} calls`),
  })
  return { ...fake, ending, told, kept, questions, said, terminate }
}

test('all files of an offer that comes in pages are accepted, and the end is told when they have arrived', async () => {
  const { session, set, calls, ending, told } = begin()
  set({ state: OPEN })
  set({ items: [fakeFile('a', { name: 'offered' })] })
  set({ items: [fakeFile('a', { name: 'offered' }), fakeFile('b', { name: 'offered' })] })
  await expect.poll(() => calls).toEqual(['accept a,b'])
  set({ items: [fakeFile('a', { name: 'complete' }), fakeFile('b', { name: 'accepted', isMoving: true })] })
  set({ items: [fakeFile('a', { name: 'complete' }), fakeFile('b', { name: 'complete' })] })
  expect(await ending).toMatchObject({ code: 0 })
  expect(calls).toEqual(['accept a,b', 'close'])
  const offers = told.flatMap((event) => (event.event === 'offer' ? event.files : []))
  expect(offers.map(({ path }) => path)).toEqual(['a', 'b'])
  expect(session.peer.device).toBe('Firefox on Android')
})

test('a person picks some files, after an answer that was no choice', async () => {
  const { set, calls, ending, questions, said } = begin({ answers: ['what?', '2'] })
  set({ state: OPEN, items: ['a', 'b\u001B[2J'].map((path) => fakeFile(path, { name: 'offered' })) })
  await expect.poll(() => calls).toEqual(['reject a', 'accept b\u001B[2J'])
  expect(questions[1]).toBe('2 files, 200 B. Accept? [Y/n, or numbers such as 1,3-5] ')
  expect(said).toEqual([
    'Firefox on Android offers:',
    '  1. a (100 B)',
    '  2. b\uFFFD[2J (100 B)',
    'Type y, n, or numbers from 1 to 2.',
  ])
  set({
    items: [
      fakeFile('a', { name: 'ended', reason: 'rejected', detail: '' }),
      fakeFile('b', { name: 'complete' }),
    ],
  })
  expect((await ending).code).toBe(0)
})

test.each([
  [['n'], 3, 'reject a'],
  [[undefined], 3, undefined],
])('a person who answers %j gets nothing', async (answers, code, call) => {
  const { set, calls, ending } = begin({ answers })
  set({ state: OPEN, items: [fakeFile('a', { name: 'offered' })] })
  if (call !== undefined) {
    await expect.poll(() => calls).toEqual([call])
    set({ items: [fakeFile('a', { name: 'ended', reason: 'rejected', detail: '' })] })
  }
  expect((await ending).code).toBe(code)
})

test('more than 100 MB through the server is asked first, with the time that it takes', async () => {
  const { set, calls, ending, questions } = begin({ answers: ['', 'y'] })
  set({
    state: { ...OPEN, path: 'server' },
    items: [fakeFile('a', { name: 'offered' }, { size: 300_000_000 })],
  })
  await expect.poll(() => calls).toEqual(['accept a'])
  const moving = fakeFile('a', { name: 'accepted', isMoving: false }, { size: 300_000_000 })
  set({ items: [moving], consent: 'asked' })
  await expect.poll(() => calls).toEqual(['accept a', 'consent true'])
  expect(questions[1]).toBe(
    'No direct connection was possible, so 300 MB would go through the server, about 5 min. Go on? [Y/n] ',
  )
  set({ consent: 'given', items: [fakeFile('a', { name: 'complete' }, { size: 300_000_000 })] })
  expect((await ending).code).toBe(0)
})

test('the session stays open after Ctrl-C, so that the sender keeps the share for a later try', async () => {
  const { set, calls, ending, terminate } = begin()
  set({ state: OPEN, items: [fakeFile('a', { name: 'accepted', isMoving: true })] })
  terminate.abort()
  expect(await ending).toMatchObject({ code: 3, isOpen: true })
  expect(calls).toEqual([])
})

test('the ticket with which a receiver comes back is kept before the Accept', async () => {
  const { session, set, calls, kept } = begin()
  session.guestTicket = 'ticket'
  set({ state: OPEN, items: [fakeFile('a', { name: 'offered' })] })
  await expect.poll(() => calls).toEqual(['accept a'])
  expect(kept).toEqual(['ticket, after 0 calls'])
})

test('without --yes and without a terminal, files are not accepted, and the share stays as it is', async () => {
  const { set, calls, ending, told } = begin({ isYes: false })
  set({ state: OPEN, items: [fakeFile('a', { name: 'offered' })] })
  expect(await ending).toMatchObject({ code: 2, isOpen: false })
  expect(calls).toEqual(['close'])
  const message = 'there is no terminal to ask at: --yes accepts all files'
  expect(told).toContainEqual({ event: 'error', message })
})

test('a text alone needs neither', async () => {
  const { set, calls, ending } = begin({ isYes: false })
  const text = { kind: 'text', key: 't', direction: 'in', text: 'hello', isDelivered: true, at: 0 } as const
  set({ state: OPEN, items: [text] })
  expect(await ending).toMatchObject({ code: 0, message: '' })
  expect(calls).toEqual(['close'])
})

test('several files do not go to standard output', async () => {
  const { set, calls, ending } = begin({ isStream: true })
  set({ state: OPEN, items: ['a', 'b'].map((path) => fakeFile(path, { name: 'offered' })) })
  expect(await ending).toMatchObject({ code: 2 })
  expect(calls).toEqual(['reject a,b', 'close'])
})

test.each([
  ['wrong-password', 4],
  ['wrong-link', 4],
  ['locked', 4],
  ['not-found', 1],
  ['taken-elsewhere', 1],
  ['peer-left', 1],
] as const)('a session that ends as %s gives exit code %d', async (why, code) => {
  const { set, ending } = begin()
  set({ state: { name: 'ended', why, detail: 'the reason' } })
  expect(await ending).toMatchObject({ code, message: 'the reason' })
})

test('a sender who leaves after everything has arrived is no failure, and one who leaves before is', async () => {
  const ended = { name: 'ended', why: 'stopped', detail: 'the other side stopped sharing' } as const
  const whole = begin()
  whole.set({ state: OPEN, items: [fakeFile('a', { name: 'complete' })] })
  whole.set({ state: ended })
  expect((await whole.ending).code).toBe(0)
  const partial = begin()
  partial.set({ state: OPEN, items: [fakeFile('a', { name: 'ended', reason: 'stopped', detail: '' })] })
  partial.set({ state: ended })
  expect((await partial.ending).code).toBe(1)
})

describe('files that cannot be stored', () => {
  /** Says that the files with these paths exist. */
  const existing =
    (...paths: string[]): Check =>
    async (files) =>
      files
        .filter(({ path }) => paths.includes(path))
        .map((file) => ({ file, error: new StoreError('exists', `${file.path} exists already`) }))
  const offered = ['a', 'b'].map((path) => fakeFile(path, { name: 'offered' }))
  const failed = { name: 'ended', reason: 'error-here', detail: 'a exists already' } as const

  test('nothing is accepted if none can, and the sender hears why', async () => {
    const { set, calls, ending } = begin({ check: existing('a', 'b') })
    set({ state: OPEN, items: offered })
    expect(await ending).toMatchObject({ code: 1, isOpen: false })
    expect(calls).toEqual(['reject a: a exists already', 'reject b: b exists already', 'close'])
  })

  test('a person who chooses only such files is told before, and gets nothing', async () => {
    const { set, calls, ending, said } = begin({ check: existing('a'), answers: ['1'] })
    set({ state: OPEN, items: offered })
    expect(await ending).toMatchObject({ code: 1, isOpen: false })
    expect(said.at(-1)).toBe('Cannot be stored here: a exists already')
    expect(calls).toEqual(['reject a: a exists already', 'close'])
  })

  test('a person is not asked if none can', async () => {
    const { set, calls, ending, questions } = begin({ check: existing('a', 'b'), answers: [] })
    set({ state: OPEN, items: offered })
    expect(await ending).toMatchObject({ code: 1, isOpen: false })
    expect(questions).toEqual([])
    expect(calls.at(-1)).toBe('close')
  })

  test('the others are accepted, and a share for this receiver stays open for a later try', async () => {
    for (const hasTaken of [true, false]) {
      const { session, set, calls, ending } = begin({ check: existing('a') })
      set({ state: OPEN, items: offered })
      await expect.poll(() => calls).toEqual(['reject a: a exists already', 'accept b'])
      session.hasTaken = hasTaken
      set({ items: [fakeFile('a', failed), fakeFile('b', { name: 'complete' })] })
      expect(await ending).toMatchObject({ code: 1, isOpen: hasTaken })
      expect(calls.slice(2)).toEqual(hasTaken ? [] : ['close'])
    }
  })

  test('files that are offered later are looked at together with those that are being received', async () => {
    const checked: string[] = []
    const check: Check = async (files) => {
      checked.push(files.map(({ path }) => path).join())
      return existing('a')(files)
    }
    const { set, calls, ending } = begin({ check })
    set({ state: OPEN, items: [fakeFile('b', { name: 'offered' })] })
    await expect.poll(() => calls).toEqual(['accept b'])
    const moving = fakeFile('b', { name: 'accepted', isMoving: true })
    set({ items: [moving, fakeFile('a', { name: 'offered' })] })
    await expect.poll(() => calls).toEqual(['accept b', 'reject a: a exists already'])
    set({ items: [fakeFile('b', { name: 'complete' }), fakeFile('a', failed)] })
    expect(await ending).toMatchObject({ code: 1 })
    expect(checked).toEqual(['b', 'b,a'])
  })
})
