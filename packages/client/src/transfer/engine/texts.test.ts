import { expect, test } from 'vitest'
import { settled } from '@peerage/test-support/fake-clock.js'
import { FakePair, FakePeer } from '../../testing/fake-transfers.js'

test('[FT17] texts arrive once and in order over broken conduits, and are marked as delivered', async () => {
  const pair = new FakePair()
  const sent: string[] = []
  for (let i = 0; i < 40; i++) {
    let count = 0
    await pair.attach({
      tap: (message) => {
        if (++count === 2 + (i % 9)) pair.cut()
        return message
      },
    })
    sent.push(`text ${i} ${'é'.repeat(i * 200)}`)
    pair.a.transfer.sendText(sent[i] ?? '')
    await settled()
  }
  await pair.attach()
  expect(pair.b.texts().map(({ text }) => text)).toEqual(sent)
  expect(pair.a.texts().every(({ isDelivered }) => isDelivered)).toBe(true)
})

test('[FT17] texts that were on their way arrive after a reload of the other side', async () => {
  const pair = new FakePair()
  await pair.attach()
  for (let i = 0; i < 3; i++) pair.a.transfer.sendText(`${i}`)
  await settled()
  pair.cut()
  for (let i = 3; i < 6; i++) pair.a.transfer.sendText(`${i}`)
  pair.b = new FakePeer(pair.clock)
  await pair.attach()
  pair.b.transfer.sendText('back')
  await settled()
  expect(pair.b.texts().map(({ text }) => text)).toEqual(['3', '4', '5', 'back'])
  expect(pair.a.texts().map(({ text, isDelivered }) => `${text} ${isDelivered}`)).toEqual([
    ...Array.from({ length: 6 }, (_, i) => `${i} true`),
    'back true',
  ])
})

test('[FT17] surrogates survive where a text is cut, and a text of a wrong length is refused', async () => {
  const pair = new FakePair()
  await pair.attach()
  const text = `x${'😀'.repeat(16_383)}y`
  pair.a.transfer.sendText(text)
  await settled()
  expect(pair.b.texts()[0]?.text).toBe(text)
  expect(() => pair.a.transfer.sendText(`${text}z`)).toThrow(RangeError)
  expect(() => pair.a.transfer.sendText('')).toThrow(RangeError)
})

test('[FT17] texts above the bound wait until the application removes some', async () => {
  const pair = new FakePair()
  await pair.attach()
  for (let i = 0; i < 1_003; i++) pair.a.transfer.sendText(`${i}`)
  await settled()
  expect(pair.b.texts()).toHaveLength(1_000)
  expect(pair.a.texts().filter(({ isDelivered }) => !isDelivered)).toHaveLength(3)
  pair.b.transfer.remove(
    pair.b
      .texts()
      .slice(0, 10)
      .map(({ key }) => key),
  )
  await settled()
  expect(pair.b.texts().at(-1)?.text).toBe('1002')
  expect(pair.a.texts().every(({ isDelivered }) => isDelivered)).toBe(true)
})
