import { expect, test } from 'vitest'
import { Once, Stamp } from './stamp.js'

test('[EAR5] a payload that comes twice is taken once, for each publisher separately', () => {
  const [one, other, once] = [new Stamp(), new Stamp(), new Once()]
  const first = one.put('a record')
  const second = one.put('')
  const third = other.put('~ !')
  const heard = [first, second, third, first, second, third, one.put('next')]
  expect(heard.map((payload) => once.take(payload))).toEqual([
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
  const [stamp, once] = [new Stamp(), new Once()]
  const [first, second] = [stamp.put('1'), stamp.put('2')]
  expect([second, first].map((payload) => once.take(payload))).toEqual(['2', undefined])
})

test.each(['', '~', 'd1:0:x', '\u0001', '\u0001 ', '\u0001abcdefgh x', '\u0001abcdefgh12'])(
  '[EAR5] %j has no stamp and is taken as it is',
  (payload) => {
    const once = new Once()
    expect([once.take(payload), once.take(payload)]).toEqual([payload, payload])
  },
)

test('[EAR5] publishers that come and go take bounded memory, and current ones are remembered', () => {
  const [once, last] = [new Once(), new Stamp()]
  for (let i = 0; i < 5_000; i++) once.take(new Stamp().put('x'))
  const payload = last.put('mine')
  expect([once.take(payload), once.take(payload)]).toEqual(['mine', undefined])
})
