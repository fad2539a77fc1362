import type { Channel } from '@peerage/client'
import { ConnectError, PeerageError } from '@peerage/client'
import { afterEach, expect, it, vi } from 'vitest'
import type { Conversation } from './conversations.js'
import { Conversations, explain } from './conversations.js'

type Listener = (...args: never[]) => unknown

/** A peer with its P2P controller, whose events the test emits. */
class FakeCalls {
  connected = 0
  /** Rejects the latest `connect`. */
  fail: (error: unknown) => void = () => {}
  readonly #listeners = new Map<string, Listener>()

  on(event: string, listener: Listener): () => void {
    this.#listeners.set(event, listener)
    return () => this.#listeners.delete(event)
  }

  connect(): Promise<Channel> {
    this.connected++
    return new Promise((_resolve, reject) => (this.fail = reject))
  }

  async watch(): Promise<undefined> {}

  emit(event: string, ...args: unknown[]): void {
    this.#listeners.get(event)?.(...(args as never[]))
  }
}

function fakeChannel(peer: string): Channel & { sent: unknown[] } {
  const sent: unknown[] = []
  const channel = {
    peer,
    state: 'open',
    sent,
    send: async (data: unknown) => void sent.push(data),
    on: () => () => {},
    info: async () => ({ path: 'direct', sameLan: true }),
  }
  return channel as unknown as Channel & { sent: unknown[] }
}

it('keeps the newer of two channels to one peer, whichever end is reported first', async () => {
  const calls = new FakeCalls()
  let all: readonly Conversation[] = []
  const conversations = new Conversations(calls, calls, (next) => (all = next))
  void conversations.call('bob')
  const [first, second] = [fakeChannel('bob'), fakeChannel('bob')]
  calls.emit('channel-opened', first)
  await all[0]?.exchange?.sendFile(new File(['content'], 'a.txt'))
  calls.emit('channel-opened', second)
  calls.emit('channel-closed', first, 'replaced')
  expect(all).toMatchObject([
    { peer: 'bob', standing: { stage: 'open' }, items: [{ name: 'a.txt', end: { state: 'failed' } }] },
  ])
  await all[0]?.exchange?.sendText('hello')
  expect(second.sent).toHaveLength(1)
  expect(all[0]?.items).toHaveLength(2)
  calls.emit('channel-closed', second, 'gone')
  expect(all).toMatchObject([{ standing: { stage: 'closed' }, exchange: undefined }])
})

afterEach(() => {
  vi.restoreAllMocks()
})

it('says that the other page is closed, and calls it again only when it is back', async () => {
  vi.spyOn(console, 'info').mockImplementation(() => {})
  const calls = new FakeCalls()
  let all: readonly Conversation[] = []
  const conversations = new Conversations(calls, calls, (next) => (all = next))
  const channel = fakeChannel('bob')
  calls.emit('channel-opened', channel)
  Object.assign(channel, { state: 'closed' })
  calls.emit('channel-closed', channel, 'closed by the other peer')
  calls.emit('presence', { name: 'bob', state: 'away' })
  expect(all).toMatchObject([{ isGone: true, standing: { stage: 'closed' } }])
  expect(console.info).toHaveBeenCalledWith(expect.stringContaining('closed by the other peer'))

  await conversations.call('bob')
  expect(calls.connected).toBe(0)
  expect(all[0]?.standing).toMatchObject({ stage: 'failed', title: 'The other page is closed' })

  calls.emit('presence', { name: 'bob', state: 'online' })
  void conversations.call('bob')
  expect(calls.connected).toBe(1)
  expect(all).toMatchObject([{ isGone: false, standing: { stage: 'calling' } }])
})

it('says in plain words that nobody answered, and the SDK’s text goes to the console', async () => {
  const told = vi.spyOn(console, 'warn').mockImplementation(() => {})
  const calls = new FakeCalls()
  let all: readonly Conversation[] = []
  const conversations = new Conversations(calls, calls, (next) => (all = next))
  const error = new ConnectError('bob', 'no-answer')
  const calling = conversations.call('bob')
  calls.fail(error)
  await calling
  expect(all[0]?.standing).toEqual({
    stage: 'failed',
    title: 'No answer',
    advice: 'The other page did not answer. Is it still open?',
  })
  expect(told).toHaveBeenCalledWith(error)

  // The other page was closed while this one called it.
  const again = conversations.call('bob')
  calls.emit('presence', { name: 'bob', state: 'offline' })
  calls.fail(error)
  await again
  expect(all[0]?.standing).toMatchObject({ title: 'The other page is closed' })
})

it.each(['not-found', 'no-answer', 'ice', 'dtls', 'timeout', 'not-verified'] as const)(
  'the text for the stage %s has neither the name of the other page nor the SDK’s text',
  (stage) => {
    const { title, advice } = explain(new ConnectError('FntS8e', stage))
    expect(`${title} ${advice}`).not.toMatch(/FntS8e|stage|channel|ICE|DTLS|peer\b/)
  },
)

it('says that a link with an invalid name is not valid', () => {
  const error = new PeerageError('bad-name', 'to must be printable')
  expect(explain(error)).toEqual({
    title: 'This link is not valid',
    advice: 'Ask for a new link.',
  })
  expect(explain(new PeerageError('closed')).title).toBe('This page is no longer connected')
})
