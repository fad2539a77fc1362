import { expect, test } from 'vitest'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { fakeConduits } from '../../testing/fake-conduit.js'
import { FakeSource, FakeStore, someBytes } from '../../testing/fake-files.js'
import { Transfer } from './transfer.js'

const MIB = 1_024 * 1_024

test('a file arrives', async () => {
  const clock = new FakeClock()
  const store = new FakeStore()
  const errors: unknown[] = []
  const make = () =>
    new Transfer({
      store,
      share: 's',
      clock,
      onError: (e) => errors.push(e),
      onBroken: (d) => errors.push(d),
    })
  const [a, b] = [make(), make()]
  const { a: ca, b: cb } = fakeConduits()
  a.attach(ca)
  b.attach(cb)
  const bytes = someBytes(30.5 * MIB, 1)
  a.offer([new FakeSource('x/y.bin', bytes), new FakeSource('empty', new Uint8Array(0))])
  await settled()
  expect(b.state.items.map((i) => i.kind === 'file' && i.state.name)).toEqual(['offered', 'offered'])
  b.accept(b.state.items.map((i) => i.key))
  await settled()
  expect(errors).toEqual([])
  expect(a.state.items.map((i) => i.kind === 'file' && i.state.name)).toEqual(['complete', 'complete'])
  expect(Buffer.from(bytes).equals(store.finished.get('x/y.bin') ?? bytes.subarray(1))).toBe(true)
})
