import { expect, test } from 'vitest'
import { settled } from '@peerage/test-support/fake-clock.js'
import { FakePair, MIB, Puppet } from '../../testing/fake-transfers.js'
import { encodePart } from './parts.js'

import { RECHECKED_BLOCKS } from './limits.js'

const OFFER = {
  type: 'offer',
  files: [1, 2].map((id) => ({ id, path: `f${id}`, size: 5 * MIB, type: '' })),
} as const

async function accepted(): Promise<Puppet> {
  const puppet = new Puppet()
  await puppet.say({ type: 'begin', run: 'r' }, OFFER)
  puppet.peer.acceptAll()
  await settled()
  return puppet
}

test('[FT16] a file of which no byte comes ends after 30 s, and the next one gets its own time', async () => {
  const { peer, ...puppet } = await accepted().then((puppet) => ({
    peer: puppet.peer,
    all: puppet.all.bind(puppet),
  }))
  await peer.clock.advance(29_000)
  expect(peer.states()).toEqual(['accepted', 'accepted'])
  await peer.clock.advance(2_000)
  expect(peer.states()).toEqual(['ended: first-byte-timeout', 'accepted'])
  expect(puppet.all('end')).toEqual([
    {
      type: 'end',
      of: 'yours',
      files: [1],
      reason: 'first-byte-timeout',
      detail: 'no byte came within 30 seconds',
    },
  ])
  await peer.clock.advance(20_000)
  expect(peer.states()[1]).toBe('accepted')
  await peer.clock.advance(20_000)
  expect(peer.states()[1]).toBe('ended: first-byte-timeout')
})

test('[FT16] a file that stops after its first byte ends after 120 s', async () => {
  const puppet = await accepted()
  await puppet.peer.clock.advance(20_000)
  await puppet.say(encodePart(1, 0, 0, new Uint8Array(5)))
  await puppet.peer.clock.advance(118_000)
  expect(puppet.peer.states()).toEqual(['accepted', 'accepted'])
  await puppet.say(encodePart(1, 0, 5, new Uint8Array(5)))
  await puppet.peer.clock.advance(118_000)
  expect(puppet.peer.states()).toEqual(['accepted', 'accepted'])
  await puppet.peer.clock.advance(3_000)
  expect(puppet.peer.states()[0]).toBe('ended: too-slow')
})

test('[FT16] no time passes while nothing is attached, while the file is paused, or while the receiver holds', async () => {
  const puppet = await accepted()
  const { transfer, clock } = puppet.peer
  transfer.hold(true)
  await clock.advance(200_000)
  transfer.hold(false)
  transfer.pause()
  await clock.advance(200_000)
  transfer.resume()
  await puppet.say({ type: 'pause', of: 'mine', files: [1, 2], on: true })
  await clock.advance(200_000)
  transfer.detach()
  await clock.advance(200_000)
  expect(puppet.peer.states()).toEqual(['paused', 'paused'])
})

test('[FT16] no time passes while the receiver itself is slow to write', async () => {
  const pair = new FakePair()
  let write = (): void => undefined
  pair.b.store.beforePut = () => new Promise<void>((resolve) => (write = resolve))
  await pair.attach()
  await pair.send(10 * MIB)
  await pair.clock.advance(500_000)
  expect(pair.b.states()).toEqual(['accepted'])
  pair.b.store.beforePut = async () => undefined
  write()
  await settled()
  expect(pair.b.states()).toEqual(['complete'])
})

test('[FT16] a time of day that jumps ends nothing', async () => {
  const puppet = await accepted()
  await puppet.peer.clock.advance(5_000)
  puppet.peer.clock.jump(3_600_000)
  await puppet.peer.clock.advance(5_000)
  expect(puppet.peer.states()).toEqual(['accepted', 'accepted'])
})

test('[FT16] a root that never comes ends the file after 120 s, unless the sender says that it hashes', async () => {
  const puppet = new Puppet()
  await puppet.say(
    { type: 'begin', run: 'r' },
    { type: 'offer', files: [{ id: 1, path: 'x', size: 0, type: '' }] },
  )
  puppet.peer.acceptAll()
  await settled()
  for (let i = 1; i < 40; i++) {
    await puppet.say({ type: 'hashing', file: 1, blocks: i })
    await puppet.peer.clock.advance(10_000)
  }
  expect(puppet.peer.states()).toEqual(['checking'])
  await puppet.peer.clock.advance(121_000)
  expect(puppet.peer.states()).toEqual(['ended: too-slow'])
})

test('[FT16] [FT22] a sender that hashes for long says so', async () => {
  const puppet = new Puppet()
  const size = 100 * MIB
  let reads = 0
  const readBlock = async (): Promise<{ bytes: Uint8Array<ArrayBuffer>; hash: Uint8Array<ArrayBuffer> }> => {
    reads++
    await new Promise<void>((resolve) => puppet.peer.clock.after(2_000, resolve))
    return { bytes: new Uint8Array(MIB), hash: new Uint8Array(32) }
  }
  const info = { path: 'x', size, type: '' }
  puppet.peer.transfer.offerShared([{ id: 1, ...info, source: { info, readBlock } }])
  await puppet.say({ type: 'begin', run: 'r' }, { type: 'accept', files: [1] })
  await puppet.say({ type: 'need', file: 1, size, ranges: [] })
  await puppet.peer.clock.advance(300_000)
  expect(reads).toBe(100 + RECHECKED_BLOCKS)
  expect(puppet.all('hashing').length).toBeGreaterThan(15)
  expect(puppet.all('hashing').length).toBeLessThan(24)
  expect(puppet.all('root')).toHaveLength(1)
})
