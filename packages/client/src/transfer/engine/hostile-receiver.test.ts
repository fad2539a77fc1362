import { expect, test } from 'vitest'
import { FakeClock } from '@peerage/test-support/fake-clock.js'
import { FakePeer, MIB, Puppet } from '../../testing/fake-transfers.js'
import type { Message } from '../types.js'
import type { Control } from './codec.js'
import { encodeControl } from './codec.js'

// The other side breaks the protocol: a clear reason on both sides, bounded memory, and the next file arrives.

const begin: Control = { type: 'begin', run: 'r' }
const BROKE = 'the other side broke the protocol: '

/** A lying receiver, which has accepted and asked for a file of this size. */
async function lyingReceiver(size: number): Promise<{ puppet: Puppet; id: number }> {
  const puppet = new Puppet()
  puppet.peer.offer(size, 10)
  const id = puppet.peer.files()[0]?.id ?? 0
  await puppet.say(begin, { type: 'accept', files: [id, id + 1] })
  return { puppet, id }
}

test.each([
  ['does not grow', [MIB, MIB], 'it sent a grant that does not grow'],
  ['shrinks', [2 * MIB, MIB], 'it sent a grant that does not grow'],
  ['is nothing', [0], 'it sent a grant that does not grow'],
  ['is absurd', [2 ** 52], 'it sent a grant of more than 8 MiB ahead'],
  ['is one byte too much', [8 * MIB + 1], 'it sent a grant of more than 8 MiB ahead'],
])('[FT11] a grant that %s ends everything', async (_, grants, what) => {
  const { puppet } = await lyingReceiver(100 * MIB)
  for (const bytes of grants) await puppet.say({ type: 'grant', bytes })
  expect(puppet.peer.states()).toEqual(['ended: error-there', 'ended: error-there'])
  expect(puppet.peer.broken).toEqual([BROKE + what])
  expect(puppet.all('end').map(({ of, reason, files }) => [of, reason, files.length])).toEqual([
    ['mine', 'error', 2],
  ])
})

test('[FT8] a receiver that asks beyond the end ends this file, and the next one is sent', async () => {
  const { puppet, id } = await lyingReceiver(5 * MIB)
  await puppet.say({ type: 'need', file: id, size: 5 * MIB, ranges: [[4, 2]] })
  expect(puppet.peer.states()).toEqual(['ended: error-there', 'accepted'])
  expect(puppet.peer.detail()).toBe(`${BROKE}it asked for bytes beyond the end of the file`)
  await puppet.say({ type: 'grant', bytes: MIB }, { type: 'need', file: id + 1, size: 10, ranges: [[0, 1]] })
  expect(puppet.parts).toHaveLength(2)
  await puppet.say({ type: 'done', files: [id + 1] })
  expect(puppet.peer.states()).toEqual(['ended: error-there', 'complete'])
})

test('[FT8] a receiver that asks for too many pieces ends this file', async () => {
  const puppet = new Puppet()
  const [source] = puppet.peer.offer(0)
  expect(source).toBeDefined()
  puppet.peer.transfer.offerShared([
    {
      id: 7,
      path: 'large',
      size: 2 ** 40,
      type: '',
      source: {
        info: { path: 'large', size: 2 ** 40, type: '' },
        readBlock: () => new Promise<never>(() => undefined),
      },
    },
  ])
  await puppet.say(begin, { type: 'accept', files: [7] })
  for (let i = 0; i < 10; i++) {
    const ranges = Array.from({ length: 500 }, (_, j) => [1_000 * i + 2 * j, 1] as const)
    await puppet.say({ type: 'need', file: 7, size: 2 ** 40, ranges })
  }
  expect(puppet.peer.states()).toEqual(['offered', 'ended: error-there'])
})

test('[FT21] a receiver that says it has more than the whole file ends this file', async () => {
  const { puppet, id } = await lyingReceiver(100)
  await puppet.say(
    { type: 'need', file: id, size: 100, ranges: [[0, 1]] },
    { type: 'kept', file: id, bytes: 101 },
  )
  expect(puppet.peer.states()).toEqual(['ended: error-there', 'accepted'])
})

test('[FT20] a peer that makes this side answer, and reads no answers, ends everything', async () => {
  const clock = new FakeClock()
  const peer = new FakePeer(clock)
  let say = (_message: Message): void => undefined
  peer.transfer.attach({
    messageBytesMax: 65_536,
    send: () => new Promise<never>(() => undefined),
    onMessage: (listener) => {
      say = listener
      return () => undefined
    },
  })
  const accept = encodeControl({
    type: 'accept',
    files: Array.from({ length: 1_000 }, (_, i) => 4_000_000_000 + i),
  })
  for (let i = 0; i < 10_000 && peer.broken.length === 0; i++) {
    say(accept)
    if (i % 100 === 0) await clock.advance(1_000)
  }
  expect(peer.broken).toEqual([`${BROKE}it reads nothing`])
}, 60_000)
