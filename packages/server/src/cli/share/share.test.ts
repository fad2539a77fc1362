import { PassThrough } from 'node:stream'
import type { CodeState, HostState, ShareHost, ShareSession } from '@peerage/client/transfer'
import { expect, test } from 'vitest'
import { fakeFile, fakeSession } from '../../testing/fake-share.js'
import type { Surroundings } from '../surroundings.js'
import type { ShareEvent } from './events.js'
import { share } from './share.js'

const OPEN = { name: 'open', path: 'direct', sameLan: false } as const

function begin({ once = true, text }: { once?: boolean; text?: string } = {}) {
  let changed = (): void => {}
  let state: HostState = { name: 'open' }
  let code: CodeState = { name: 'none' }
  const calls: string[] = []
  const sessions: ShareSession[] = []
  const host = {
    get state() {
      return state
    },
    get code() {
      return code
    },
    sessions,
    expiresAt: undefined,
    add: () => {},
    link: (base: string) => `${base}?peer_id=ann#secret`,
    newCode: () => void calls.push('new code'),
    stop: () => void calls.push('stop'),
    onChange: (listener: () => void) => {
      changed = listener
      return () => {}
    },
  } as Partial<ShareHost> as ShareHost
  const told: ShareEvent[] = []
  const terminate = new AbortController()
  const source = {
    info: fakeFile('a', { name: 'offered' }),
    readBlock: () => Promise.reject(new Error('unread')),
  }
  const sending = share(host, {
    flags: { once, code: true, qr: true, ...(text !== undefined && { text }) },
    surroundings: {
      terminated: terminate.signal,
      startedAs: { program: 'peerage', serve: 'peerage serve' },
      streams: { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() },
    } as Partial<Surroundings> as Surroundings,
    output: { tell: (event) => told.push(event), draw: () => {}, say: () => {}, out: () => {} },
    page: 'https://peers.example/',
    sources: text === undefined ? [source] : [],
  })
  const enter = () => {
    const fake = fakeSession()
    sessions.push(fake.session)
    changed()
    return fake
  }
  const setCode = (next: CodeState): void => {
    code = next
    changed()
  }
  const setState = (next: HostState): void => {
    state = next
    changed()
  }
  return { sending, told, calls, terminate, enter, setCode, setState }
}

const out = (state: Parameters<typeof fakeFile>[1]) => fakeFile('a', state, { direction: 'out' })

test('a share for one receiver ends when that receiver has everything', async () => {
  const { sending, told, calls, enter } = begin()
  const guest = enter()
  guest.set({ state: OPEN, items: [out({ name: 'offered' })] })
  guest.set({ items: [out({ name: 'accepted', isMoving: true })] })
  guest.set({ items: [out({ name: 'complete' })] })
  expect((await sending).code).toBe(0)
  expect(calls).toEqual(['new code', 'stop'])
  expect(told[0]).toMatchObject({ event: 'share', link: 'https://peers.example/?peer_id=ann#secret' })
})

test('a receiver that is lost may come back in another session', async () => {
  const { sending, enter } = begin()
  const first = enter()
  first.set({ state: OPEN, items: [out({ name: 'accepted', isMoving: true })] })
  first.set({ state: { name: 'reconnecting', isPeerAway: true } })
  first.set({ items: [out({ name: 'ended', reason: 'peer-offline', detail: '' })] })
  const second = enter()
  second.set({ state: OPEN, items: [out({ name: 'accepted', isMoving: true })] })
  first.set({ state: { name: 'ended', why: 'peer-left', detail: '' } })
  second.set({ items: [out({ name: 'complete' })] })
  expect((await sending).code).toBe(0)
})

test.each([
  [{ name: 'ended', reason: 'rejected', detail: '' } as const, 3],
  [{ name: 'ended', reason: 'file-changed', detail: '' } as const, 1],
])('a share for one receiver whose file %j ends with code %d', async (state, code) => {
  const { sending, enter } = begin()
  const guest = enter()
  guest.session.hasTaken = true
  guest.set({ state: OPEN, items: [out(state)] })
  expect((await sending).code).toBe(code)
})

test('a guest that was too late for a one-time share does not end it', async () => {
  const { sending, enter } = begin()
  enter().set({
    state: { name: 'ended', why: 'taken-elsewhere', detail: '' },
    items: [out({ name: 'ended', reason: 'taken-elsewhere', detail: '' })],
  })
  enter().set({ state: OPEN, items: [out({ name: 'complete' })] })
  expect((await sending).code).toBe(0)
})

test('a guest that leaves without an answer does not end it', async () => {
  const { sending, enter } = begin()
  const guest = enter()
  guest.set({ state: OPEN, items: [out({ name: 'ended', reason: 'cancelled-there', detail: '' })] })
  guest.set({ state: { name: 'ended', why: 'closed-there', detail: '' } })
  enter().set({ state: OPEN, items: [out({ name: 'complete' })] })
  expect((await sending).code).toBe(0)
})

test('a receiver that came back and cancels ends it, although its first session may still go on', async () => {
  const { sending, enter, setState } = begin()
  const first = enter()
  first.session.hasTaken = true
  first.set({ state: OPEN, items: [out({ name: 'accepted', isMoving: true })] })
  setState({ name: 'taken' })
  first.set({ state: { name: 'reconnecting', isPeerAway: true } })
  enter().set({ state: OPEN, items: [out({ name: 'ended', reason: 'cancelled-there', detail: '' })] })
  expect((await sending).code).toBe(3)
})

test('a share that is locked by wrong passwords is told once', async () => {
  const { told, setState, enter } = begin()
  const locked = { event: 'warning', message: expect.stringContaining('wrong passwords') }
  setState({ name: 'locked' })
  await expect.poll(() => told).toContainEqual(locked)
  enter().set({ state: OPEN, items: [out({ name: 'complete' })] })
  expect(told.filter(({ event }) => event === 'warning')).toHaveLength(1)
})

test('a text goes to each guest, and Ctrl-C ends the share', async () => {
  const { sending, enter, terminate } = begin({ once: false, text: 'hello' })
  const guest = enter()
  await expect.poll(() => guest.calls).toEqual(['text hello'])
  const item = { kind: 'text', key: 't', direction: 'out', text: 'hello', at: 0 } as const
  guest.set({ state: OPEN, items: [{ ...item, isDelivered: true }] })
  terminate.abort()
  expect((await sending).code).toBe(0)
})

test('files of a guest are not taken', async () => {
  const { enter, told } = begin()
  const guest = enter()
  guest.set({ state: OPEN, items: [fakeFile('evil', { name: 'offered' })] })
  await expect.poll(() => guest.calls).toEqual(['reject evil'])
  expect(told).toContainEqual(expect.objectContaining({ event: 'warning' }))
})

test('each code is shown, a burnt one is replaced, and after ten there is none', async () => {
  const { calls, told, setCode } = begin()
  for (let i = 0; i < 10; i++) {
    setCode({ name: 'ready', code: `${i}-a-b-c` })
    await expect.poll(() => told.at(-1)).toEqual({ event: 'code', code: `${i}-a-b-c` })
    setCode({ name: 'burnt' })
    await expect.poll(() => told.filter(({ event }) => event === 'code-gone')).toHaveLength(i + 1)
  }
  expect(calls.filter((call) => call === 'new code')).toHaveLength(10)
  expect(told.at(-1)).toMatchObject({ event: 'warning' })
})

test('a share that expires without a receiver has failed', async () => {
  const { sending, setState } = begin({ once: false })
  setState({ name: 'stopped', why: 'expired' })
  expect((await sending).code).toBe(1)
})
