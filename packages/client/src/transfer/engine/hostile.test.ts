import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FakeClock, settled } from '@peerage/test-support/fake-clock.js'
import { MIB, Puppet } from '../../testing/fake-transfers.js'
import { hashOf, someBytes } from '../../testing/fake-files.js'
import type { OfferedFile } from '../types.js'
import type { Control } from './codec.js'
import { HashList } from './hash-list.js'
import { encodeBlockEnd, encodePart } from './parts.js'

// The other side breaks the protocol: a clear reason on both sides, bounded memory, and the next file arrives.

const begin: Control = { type: 'begin', run: 'r' }
const file = (id: number, size: number): OfferedFile => ({ id, path: `f${id}`, size, type: '' })
const offer = (...files: OfferedFile[]): Control => ({ type: 'offer', files })
const BROKE = 'the other side broke the protocol: '

/** A lying sender: it has offered files of these sizes, numbered from 1, and the transfer has accepted them. */
async function lyingSender(...sizes: number[]): Promise<Puppet> {
  const puppet = new Puppet()
  await puppet.say(begin, offer(...sizes.map((size, i) => file(i + 1, size))))
  puppet.peer.acceptAll()
  await settled()
  return puppet
}

/** Sends a whole small file in the right way. */
async function sendWell(puppet: Puppet, id: number, size: number): Promise<void> {
  const bytes = someBytes(size, id)
  const hashes = new HashList(1)
  hashes.set(0, hashOf(bytes))
  const root = Buffer.from(hashes.root(size)).toString('hex')
  await puppet.say(encodePart(id, 0, 0, bytes), encodeBlockEnd(id, 0, hashOf(bytes)), {
    type: 'root',
    file: id,
    hash: root,
  })
}

test.each([
  ['a part of a block beyond the end', encodePart(1, 1, 0, new Uint8Array(10))],
  ['a part that goes beyond the end', encodePart(1, 0, 995, new Uint8Array(10))],
  ['a part far beyond the end', encodePart(1, 0xffff_ffff, 0xffff_ffff, new Uint8Array(10))],
  ['the end of a block beyond the end', encodeBlockEnd(1, 1, new Uint8Array(32))],
])('[FT8] a sender that sends %s ends this file, and the next one arrives', async (_, message) => {
  const puppet = await lyingSender(1_000, 500)
  await puppet.say(message)
  expect(puppet.peer.states()).toEqual(['ended: error-there', 'accepted'])
  expect(puppet.peer.detail()).toBe(`${BROKE}it sent bytes beyond the end of the file`)
  expect(puppet.all('end')).toEqual([
    { type: 'end', of: 'yours', files: [1], reason: 'error', detail: puppet.peer.detail() },
  ])
  await sendWell(puppet, 2, 500)
  expect(puppet.peer.states()).toEqual(['ended: error-there', 'complete'])
})

test('[FT5] [FT14] a sender that lies about the root ends the file as changed, and nothing of it is kept', async () => {
  const puppet = await lyingSender(100)
  const bytes = someBytes(100, 1)
  await puppet.say(encodePart(1, 0, 0, bytes), encodeBlockEnd(1, 0, hashOf(bytes)))
  expect(puppet.peer.states()).toEqual(['checking'])
  await puppet.say({ type: 'root', file: 1, hash: '0'.repeat(64) })
  expect(puppet.peer.states()).toEqual(['ended: file-changed'])
  expect([puppet.peer.store.partial.size, puppet.peer.store.finished.size]).toEqual([0, 0])
})

test('[FT5] a sender cannot say that a file is done', async () => {
  const puppet = await lyingSender(100)
  await puppet.say({ type: 'done', files: [1] }, { type: 'root', file: 1, hash: '0'.repeat(64) })
  expect(puppet.peer.states()).toEqual(['accepted'])
})

test('[FT13] one byte of each of many blocks takes bounded memory, and ends the file', async () => {
  const puppet = await lyingSender(1_000 * MIB, 500)
  for (let block = 0; block < 1_000; block++) await puppet.say(encodePart(1, block, 0, new Uint8Array(1)))
  expect(puppet.peer.states()).toEqual(['ended: error-there', 'accepted'])
  expect(puppet.peer.detail()).toBe(`${BROKE}it sent pieces of too many blocks at once`)
  expect(puppet.peer.transfer.mostInMemory.assembled).toBeLessThanOrEqual(12 * MIB)
  await sendWell(puppet, 2, 500)
  expect(puppet.peer.states()[1]).toBe('complete')
}, 60_000)

test('[FT13] the ends of many blocks take bounded memory', async () => {
  const puppet = await lyingSender(2 ** 32 * MIB)
  const messages = Array.from({ length: 20_000 }, (_, i) =>
    encodeBlockEnd(1, i * 200_000, new Uint8Array(32)),
  )
  await puppet.say(...messages)
  expect(puppet.peer.states()).toEqual(['ended: error-there'])
  expect(puppet.peer.transfer.mostInMemory.assembled).toBeLessThanOrEqual(12 * MIB)
}, 60_000)

test('[FT13] every other byte of a block ends the file', async () => {
  const puppet = await lyingSender(MIB)
  for (let i = 0; i < 1_000; i++) await puppet.say(encodePart(1, 0, 2 * i, new Uint8Array(1)))
  expect(puppet.peer.states()).toEqual(['ended: error-there'])
  expect(puppet.peer.detail()).toBe(`${BROKE}it sent a block in too many pieces`)
})

test('[FT7] parts that overlap or come twice make no difference to a good block', async () => {
  const puppet = await lyingSender(1_000)
  const bytes = someBytes(1_000, 1)
  const part = (from: number, to: number): Uint8Array<ArrayBuffer> =>
    encodePart(1, 0, from, bytes.subarray(from, to))
  await puppet.say(part(500, 700), part(0, 100), part(0, 100), part(50, 600), part(650, 999), part(100, 110))
  expect(puppet.peer.states()).toEqual(['accepted'])
  await puppet.say(encodeBlockEnd(1, 0, hashOf(bytes)))
  expect(puppet.peer.states()).toEqual(['accepted'])
  await puppet.say(part(999, 1_000))
  expect(puppet.peer.states()).toEqual(['checking'])
})

test('[FT11] a sender that sends above the grant ends everything', async () => {
  const puppet = await lyingSender(100 * MIB, 500)
  puppet.peer.store.beforePut = () => new Promise<never>(() => undefined)
  for (let i = 0; i < 9; i++)
    for (let offset = 0; offset < MIB; offset += MIB / 16)
      await puppet.say(encodePart(1, i, offset, new Uint8Array(MIB / 16)))
  expect(puppet.peer.states()).toEqual(['ended: error-there', 'ended: error-there'])
  expect(puppet.peer.broken).toEqual([`${BROKE}it sent more than it was allowed to`])
  expect(puppet.peer.transfer.mostInMemory.held).toBeLessThanOrEqual(8 * MIB)
})

test('[FT11] bytes of files that nobody wants are dropped, counted and granted again', async () => {
  const puppet = new Puppet()
  await puppet.say(begin, offer(file(1, 100 * MIB)))
  for (let i = 0; i < 20; i++)
    for (let offset = 0; offset < MIB; offset += MIB / 16)
      await puppet.say(encodePart(i % 3, i, offset, new Uint8Array(MIB / 16)))
  expect(puppet.peer.broken).toEqual([])
  expect(puppet.all('grant').at(-1)?.bytes).toBe(28 * MIB)
  expect(puppet.peer.transfer.mostInMemory).toEqual({ held: MIB / 16, assembled: 0 })
})

test('[FT20] the file that is one too many ends everything', async () => {
  const puppet = new Puppet()
  await puppet.say(begin)
  for (let i = 0; i <= 50; i++)
    await puppet.say(offer(...Array.from({ length: 200 }, (_, j) => file(1 + 200 * i + j, 1))))
  expect(puppet.peer.files()).toHaveLength(10_000)
  expect(puppet.peer.broken).toEqual([`${BROKE}it offered more than 10000 files`])
})

test('[FT20] too many messages end everything, and nothing more is read', async () => {
  const puppet = new Puppet()
  await puppet.say(begin, offer(file(1, 5)))
  const noise = JSON.stringify({ type: 'noise', text: 'x'.repeat(60_000) })
  for (let i = 0; i < 300; i++) await puppet.say(noise)
  expect(puppet.peer.broken).toEqual([`${BROKE}it sent too many messages at once`])
  expect(puppet.peer.states()).toEqual(['ended: error-there'])
  await puppet.say(offer(file(2, 5)))
  expect(puppet.peer.files()).toHaveLength(1)
})

test('[FT20] a peer that begins twice on a conduit ends everything', async () => {
  const puppet = await lyingSender(5)
  await puppet.say(begin)
  expect(puppet.peer.broken).toEqual([`${BROKE}it began twice`])
  expect(puppet.peer.states()).toEqual(['ended: error-there'])
})

test('[FT20] messages at a rate that an honest peer needs are no breach', async () => {
  const clock = new FakeClock()
  const puppet = new Puppet(clock)
  await puppet.say(begin)
  for (let second = 0; second < 60; second++) {
    for (let i = 0; i < 2_000; i++) await puppet.say({ type: 'kept', file: 1, bytes: 1_000_000 })
    await clock.advance(1_000)
  }
  expect(puppet.peer.broken).toEqual([])
}, 60_000)

test('[FT2] a message of a type that the engine does not know goes to the session, or is ignored', async () => {
  const puppet = new Puppet()
  const others: unknown[] = []
  await puppet.say('{"type":"hello","device":"x"}')
  const stop = puppet.peer.transfer.onOther((message) => others.push(message))
  await puppet.say('{"type":"hello","device":"y"}')
  stop()
  await puppet.say('{"type":"hello","device":"z"}')
  expect(others).toEqual([{ type: 'hello', device: 'y' }])
  expect(puppet.peer.broken).toEqual([])
})

test.each([
  ['text that is no JSON', 'hello'],
  ['a control message that breaks the table', '{"type":"grant","bytes":-1}'],
  ['an empty binary message', new Uint8Array(0)],
  ['a part without bytes', encodePart(1, 0, 0, new Uint8Array(0))],
  ['binary noise', Uint8Array.of(7, 7, 7)],
])('[FT20] %s ends everything with a reason on both sides', async (_, message) => {
  const puppet = await lyingSender(1_000)
  puppet.peer.offer(5)
  await puppet.say(message)
  expect(puppet.peer.states()).toEqual(['ended: error-there', 'ended: error-there'])
  expect(puppet.peer.broken).toHaveLength(1)
  expect(
    puppet
      .all('end')
      .map(({ of, reason }) => `${of} ${reason}`)
      .sort(),
  ).toEqual(['mine error', 'yours error'])
})

test('[FT17] a text that is too long, and an acknowledgement of a text that was never sent, end everything', async () => {
  const puppet = new Puppet()
  const piece: Control = { type: 'text', id: 1, text: 'x'.repeat(2_048), more: true }
  await puppet.say(begin, ...Array.from({ length: 17 }, () => piece))
  expect(puppet.peer.broken).toEqual([`${BROKE}it sent a text that is too long`])
  const other = new Puppet()
  await other.say({ type: 'got', id: 1, again: false })
  expect(other.peer.broken).toEqual([`${BROKE}it acknowledged a text that was never sent`])
})

test('[FT20] no sequence of well-formed messages throws, or makes a file complete that has not arrived', async () => {
  const id = fc.integer({ min: 1, max: 4 })
  const ids = fc.array(id, { minLength: 1, maxLength: 4 })
  const of = fc.constantFrom('mine' as const, 'yours' as const)
  const range = fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 5 }))
  const is = <T extends string>(...types: T[]): fc.Arbitrary<T> => fc.constantFrom(...types)
  const size = fc.constantFrom(0, 10, MIB, 3 * MIB)
  const control: fc.Arbitrary<Control> = fc.oneof(
    fc.tuple(id, size).map(([one, bytes]) => offer(file(one, bytes))),
    fc.record({ type: is('accept', 'reject', 'done'), files: ids }),
    fc.record({ type: is('need'), file: id, size, ranges: fc.array(range) }),
    fc.record({ type: is('kept'), file: id, bytes: size }),
    fc.record({ type: is('grant'), bytes: fc.nat(8 * MIB) }),
    fc.record({ type: is('root'), file: id, hash: fc.constant('0'.repeat(64)) }),
    fc.record({
      type: is('end'),
      of,
      files: ids,
      reason: is('cancelled', 'error', 'file-changed'),
      detail: is('d'),
    }),
    fc.record({ type: is('pause'), of, files: ids, on: fc.boolean() }),
    fc.record({ type: is('text'), id: fc.nat(3), text: fc.string({ maxLength: 9 }), more: fc.boolean() }),
  )
  const binary = fc.oneof(
    fc
      .tuple(id, fc.nat(3), fc.nat(9))
      .map(([one, block, at]) => encodePart(one, block, at, new Uint8Array(10 - at))),
    fc.tuple(id, fc.nat(3)).map(([one, block]) => encodeBlockEnd(one, block, hashOf(new Uint8Array(10)))),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(control, binary), { maxLength: 40 }), async (messages) => {
      const puppet = new Puppet()
      puppet.peer.transfer.offerShared([1, 2].map((one) => ({ ...file(one, 10), source: undefined })))
      await puppet.say(begin)
      for (const message of messages) {
        await puppet.say(message)
        puppet.peer.acceptAll()
      }
      await puppet.peer.clock.advance(200_000)
      expect(puppet.peer.errors).toEqual([])
      for (const { direction, size, state } of puppet.peer.files())
        if (direction === 'in') expect(state.name === 'complete' && size > 0).toBe(false)
      puppet.peer.transfer.close()
    }),
    { numRuns: 300 },
  )
}, 60_000)
