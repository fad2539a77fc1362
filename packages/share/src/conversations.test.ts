import type { Channel } from '@peerage/client'
import { PeerageError } from '@peerage/client'
import { expect, it } from 'vitest'
import type { Conversation } from './conversations.js'
import { Conversations, explain } from './conversations.js'

type Listener = (...args: never[]) => unknown

/** A P2P controller whose events the test emits. */
class FakeCalls {
  readonly #listeners = new Map<string, Listener>()

  on(event: string, listener: Listener): () => void {
    this.#listeners.set(event, listener)
    return () => this.#listeners.delete(event)
  }

  connect(): Promise<Channel> {
    return new Promise(() => {})
  }

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
  const conversations = new Conversations(calls, (next) => (all = next))
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
  expect(all).toMatchObject([{ standing: { stage: 'closed', why: 'gone' }, exchange: undefined }])
})

it('says that a link with an invalid name is not valid', () => {
  const error = new PeerageError('bad-name', 'to must be printable')
  expect(explain(error, 'a\nb')).toEqual({
    title: 'This link is not valid',
    advice: 'Ask for a new link. (to must be printable)',
  })
  expect(explain(new PeerageError('closed'), 'bob').title).toBe('This page is no longer connected')
})
