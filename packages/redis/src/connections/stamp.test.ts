import { expect, test } from 'vitest'
import { Deduplicator, Stamp } from './stamp.js'

test('[EAR5] a payload that comes twice is taken once, for each publisher separately', () => {
  const [one, other, deduplicator] = [new Stamp(), new Stamp(), new Deduplicator()]
  const first = one.put('a record')
  const second = one.put('')
  const third = other.put('~ !')
  const heard = [first, second, third, first, second, third, one.put('next')]
  expect(heard.map((payload) => deduplicator.take(payload))).toEqual([
    'a record',
    '',
    '~ !',
    undefined,
    undefined,
    undefined,
    'next',
  ])
})

test('[EAR5] a payload that comes after a later one is dropped, so the order is kept', () => {
  const [stamp, deduplicator] = [new Stamp(), new Deduplicator()]
  const [first, second] = [stamp.put('1'), stamp.put('2')]
  expect([second, first].map((payload) => deduplicator.take(payload))).toEqual(['2', undefined])
})

test.each(['', '~', 'd1:0:x', '\u0001', '\u0001 ', '\u0001abcdefgh x', '\u0001abcdefgh12'])(
  '[EAR5] %j has no stamp and is taken as it is',
  (payload) => {
    const deduplicator = new Deduplicator()
    expect([deduplicator.take(payload), deduplicator.take(payload)]).toEqual([payload, payload])
  },
)

test('[EAR5] publishers that come and go take bounded memory, and current ones are remembered', () => {
  const [deduplicator, last] = [new Deduplicator(), new Stamp()]
  for (let i = 0; i < 5_000; i++) deduplicator.take(new Stamp().put('x'))
  const payload = last.put('mine')
  expect([deduplicator.take(payload), deduplicator.take(payload)]).toEqual(['mine', undefined])
})
