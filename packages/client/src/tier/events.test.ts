import { afterEach, expect, test, vi } from 'vitest'
import { Events } from './events.js'

afterEach(() => vi.restoreAllMocks())

// Regression: an `accept` that threw, or returned no boolean, refused every call, and nothing said why.
test('an error without a listener goes to the console, and its repeats do not', () => {
  const told = vi.spyOn(console, 'error').mockReturnValue()
  const events = new Events()
  const [boom, bang] = [new Error('boom'), new Error('bang')]
  for (const error of [boom, new Error('boom'), bang]) events.fail(error, 'p2p')
  expect(told.mock.calls).toEqual([[boom], [bang]])
})

test('an error with a listener goes to the listener each time, and not to the console', () => {
  const told = vi.spyOn(console, 'error').mockReturnValue()
  const events = new Events()
  const heard = vi.fn()
  events.on('error', heard)
  const boom = new Error('boom')
  for (let i = 0; i < 2; i++) events.fail(boom, 'p2p')
  expect(heard.mock.calls).toEqual([
    [boom, 'p2p'],
    [boom, 'p2p'],
  ])
  expect(told).not.toHaveBeenCalled()
})

test('an error of a listener goes to the console once if nobody listens for errors', () => {
  const told = vi.spyOn(console, 'error').mockReturnValue()
  const events = new Events()
  const boom = new Error('boom')
  events.on('message', () => {
    throw boom
  })
  events.emit('message', 'bob', 1, { since: 1 })
  expect(told.mock.calls).toEqual([[boom]])
})
