import { expect, test } from 'vitest'
import { FakeSession, FakeTransfer } from '../demo/fake-share.js'
import { file } from '../demo/pieces.js'
import { Accepted } from './accepted.js'

const LINK = { name: 'host', fragment: 'fragment' }
const store = {
  isDurable: true,
  bytesMax: Infinity,
  open: () => Promise.reject(new Error('nothing is stored')),
}

test('a file that the guest has paused is still paused after each reload, until it goes on', () => {
  const kept = new Map<string, string>()
  const memory = {
    get: (key: string) => kept.get(key),
    set: (key: string, value: string) => void kept.set(key, value),
    remove: (key: string) => void kept.delete(key),
  }
  /** Loads the page. The files are offered a moment later. */
  const load = (): FakeTransfer => {
    const transfer = new FakeTransfer()
    new Accepted(memory).resume(LINK, new FakeSession({ transfer }), store)
    return transfer
  }
  const offer = (transfer: FakeTransfer): FakeTransfer => {
    transfer.items = [file('a', 10), file('b', 10)]
    transfer.changed()
    return transfer
  }
  const states = ({ items }: FakeTransfer): unknown[] =>
    items.map((item) => item.kind === 'file' && item.state.name)

  const first = offer(load())
  const keys = first.items.map(({ key }) => key)
  new Accepted(memory).add(LINK, keys)
  first.accept(keys)
  first.pause(keys.slice(0, 1))
  const second = offer(load())
  expect(states(second)).toEqual(['paused', 'accepted'])
  // A reload before anything is offered forgets nothing.
  load()
  const third = offer(load())
  expect(states(third)).toEqual(['paused', 'accepted'])
  third.resume(keys)
  expect(states(offer(load()))).toEqual(['accepted', 'accepted'])
})
