import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Conduit, Item } from './exchange.js'
import { Exchange } from './exchange.js'
import { readNote } from './note.js'

type Data = string | Uint8Array<ArrayBuffer>

/** The two ends of a channel in memory. The other end receives a message in a later microtask. */
function pair(change: (data: Data) => Data = (data) => data): [Conduit, Conduit] {
  const listeners: ((data: Data) => void)[][] = [[], []]
  const end = (mine: number): Conduit => ({
    async send(data) {
      await Promise.resolve()
      // Copy the data as a network does, because the sender may reuse its buffer.
      const copy = typeof data === 'string' ? data : data.slice()
      for (const listener of listeners[1 - mine] ?? []) listener(change(copy))
    },
    on(_, listener) {
      listeners[mine]?.push(listener)
      return () => listeners[mine]?.splice(listeners[mine].indexOf(listener), 1)
    },
  })
  return [end(0), end(1)]
}

/** An exchange with a function that waits for its items. */
function watched(conduit: Conduit) {
  let items: readonly Item[] = []
  const waiting = new Set<() => void>()
  let changes = 0
  const exchange = new Exchange(conduit, [], (next) => {
    items = next
    changes++
    for (const look of waiting) look()
  })
  const settled = (count: number): Promise<readonly Item[]> =>
    new Promise((resolve) => {
      const look = (): void => {
        const done = items.filter((item) => item.kind === 'text' || item.end !== undefined)
        if (done.length >= count) resolve(items)
      }
      waiting.add(look)
      look()
    })
  return { exchange, settled, items: () => items, changes: () => changes }
}

const MIB = 1024 * 1024

/** A file of `size` bytes. From `goodBytes` on, `read` supplies its content. */
function brokenFile(size: number, goodBytes: number, read: () => Promise<ArrayBuffer>): File {
  const file = new File([new Uint8Array(size)], 'broken')
  const slice = file.slice.bind(file)
  file.slice = (from = 0, to = size) => {
    const part = slice(from, to)
    if (from >= goodBytes) part.arrayBuffer = read
    return part
  }
  return file
}

describe('Exchange', () => {
  it('carries texts and files both ways, with the digest of the original', async () => {
    const [near, far] = pair()
    const alice = watched(near)
    const bob = watched(far)
    const bytes = randomBytes(2_500_000)
    await alice.exchange.sendText('hello')
    void alice.exchange.sendFile(new File([bytes], 'a.bin'))
    void alice.exchange.sendFile(new File([], 'empty'))
    void bob.exchange.sendFile(new File(['back'], 'b.txt'))
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const got = await bob.settled(4)
    const file = got.find((item) => item.kind === 'file' && item.name === 'a.bin')
    expect(file).toMatchObject({ mine: false, moved: bytes.length, end: { state: 'complete', sha256 } })
    const content = file?.kind === 'file' && file.end?.state === 'complete' ? file.end.content : undefined
    expect(content && Buffer.from(await content.arrayBuffer()).equals(bytes)).toBe(true)
    expect(got.find((item) => item.kind === 'text')).toMatchObject({ text: 'hello', mine: false })
    expect(await alice.settled(4)).toMatchObject([
      { text: 'hello', mine: true },
      { name: 'a.bin', end: { state: 'complete', sha256 } },
      { name: 'empty', end: { state: 'complete' } },
      { name: 'b.txt', mine: false, end: { state: 'complete' } },
    ])
  })

  it('a file that is changed on the way is complete on neither side', async () => {
    const [near, far] = pair((data) => (typeof data === 'string' ? data : data.fill(0)))
    const alice = watched(near)
    const bob = watched(far)
    await alice.exchange.sendFile(new File(['content'], 'a.txt'))
    for (const side of [alice, bob])
      expect(await side.settled(1)).toMatchObject([
        { end: { state: 'failed', why: expect.stringContaining('SHA-256') } },
      ])
  })

  it('a file is complete for the sender only after the other side has confirmed it', async () => {
    const [near, far] = pair()
    const alice = watched(near)
    const heard: Data[] = []
    far.on('message', (data) => heard.push(data))
    await alice.exchange.sendFile(new File(['content'], 'a.txt'))
    expect(heard.at(-1)).toContain('"end"')
    expect(alice.items()).toMatchObject([{ moved: 7, end: undefined }])
    await far.send('{"type":"received","id":9}')
    expect(alice.items()).toMatchObject([{ end: undefined }])
    await far.send('{"type":"received","id":1}')
    expect(alice.items()).toMatchObject([{ end: { state: 'complete' } }])
    await far.send('{"type":"refused","id":1,"why":"too late"}')
    expect(alice.items()).toMatchObject([{ end: { state: 'complete' } }])
  })

  it('a file is not complete if the other side confirms it before its end', async () => {
    const [near, far] = pair()
    const alice = watched(near)
    let isOut = false
    far.on('message', (data) => {
      if (isOut || typeof data === 'string') return
      isOut = true
      void far.send('{"type":"received","id":1}')
    })
    await alice.exchange.sendFile(new File([new Uint8Array(3_000_000)], 'a.bin'))
    expect(alice.items()).toMatchObject([{ end: undefined }])
  })

  it.each([
    ['cannot be read', () => Promise.reject(new Error('it is gone'))],
    ['becomes shorter', () => Promise.resolve(new ArrayBuffer(10))],
  ])('a file that %s midway fails on both sides, and the next file is complete', async (_, read) => {
    const [near, far] = pair()
    const alice = watched(near)
    const bob = watched(far)
    void alice.exchange.sendFile(brokenFile(3 * MIB, 1 * MIB, read))
    void alice.exchange.sendFile(new File(['next'], 'next.txt'))
    for (const side of [alice, bob]) {
      expect(await side.settled(2)).toMatchObject([
        {
          name: 'broken',
          end: { state: 'failed', why: expect.stringContaining('could not be read to its end') },
        },
        { name: 'next.txt', moved: 4, end: { state: 'complete' } },
      ])
    }
  })

  it('a file that the other side refuses midway is not sent any further, and the next file is complete', async () => {
    const [near, far] = pair()
    const alice = watched(near)
    const bob = watched(far)
    let chunks = 0
    far.on('message', (data) => {
      if (typeof data !== 'string' && ++chunks === 2)
        void far.send('{"type":"refused","id":1,"why":"no room"}')
    })
    void alice.exchange.sendFile(new File([new Uint8Array(5 * MIB)], 'a.bin'))
    void alice.exchange.sendFile(new File(['next'], 'next.txt'))
    expect(await alice.settled(2)).toMatchObject([
      { end: { state: 'failed', why: 'no room' } },
      { name: 'next.txt', end: { state: 'complete' } },
    ])
    expect(chunks).toBeLessThan(10)
    // Bob's exchange did not refuse the file. For it, the sender began another file.
    expect(await bob.settled(2)).toMatchObject([
      { end: { state: 'failed' } },
      { name: 'next.txt', end: { state: 'complete' } },
    ])
  })

  it.each([
    ['longer', ['{"type":"file","id":4,"name":"x","size":1,"mime":""}', new Uint8Array(2)]],
    [
      'shorter',
      ['{"type":"file","id":4,"name":"x","size":9,"mime":""}', new Uint8Array(2), '{"type":"end","id":4}'],
    ],
    ['unexpected', ['{"type":"file","id":4,"name":"x","size":9,"mime":""}', 'nonsense']],
    [
      'another file',
      [
        '{"type":"file","id":4,"name":"x","size":9,"mime":""}',
        '{"type":"file","id":5,"name":"y","size":9,"mime":""}',
      ],
    ],
  ] satisfies [string, Data[]][])('refuses a file (%s), and tells its sender', async (why, messages) => {
    const [near, far] = pair()
    const bob = watched(far)
    const heard: Data[] = []
    near.on('message', (data) => heard.push(data))
    for (const message of messages) await near.send(message)
    expect(await bob.settled(1)).toMatchObject([
      { end: { state: 'failed', why: expect.stringContaining(why) } },
      ...(why === 'another file' ? [{ name: 'y', end: undefined }] : []),
    ])
    expect(heard.map((data) => readNote(String(data)))).toEqual([
      { type: 'refused', id: 4, why: expect.stringContaining(why) },
    ])
  })

  it('drops further chunks of a refused file, and accepts the next file', async () => {
    const [near, far] = pair()
    const bob = watched(far)
    const next = [
      '{"type":"file","id":5,"name":"y","size":2,"mime":""}',
      new Uint8Array(2),
      '{"type":"end","id":5}',
    ]
    await near.send('{"type":"file","id":4,"name":"x","size":1,"mime":""}')
    for (const late of [new Uint8Array(2), new Uint8Array(9), '{"type":"end","id":4}', ...next])
      await near.send(late)
    expect(await bob.settled(2)).toMatchObject([
      { name: 'x', end: { state: 'failed' } },
      { name: 'y', moved: 2, end: { state: 'complete' } },
    ])
  })

  it('when the channel closes, the file under way and all waiting files fail on both sides', async () => {
    const [near, far] = pair()
    const alice = watched(near)
    const bob = watched(far)
    let sides = 0
    far.on('message', (data) => {
      if (typeof data === 'string' || sides++ > 0) return
      alice.exchange.close('the channel closed')
      bob.exchange.close('the channel closed')
    })
    const sent = [
      alice.exchange.sendFile(new File([new Uint8Array(3 * MIB)], 'a.bin')),
      alice.exchange.sendFile(new File(['next'], 'next.txt')),
    ]
    await Promise.all(sent)
    expect(alice.items()).toMatchObject([
      { name: 'a.bin', end: { state: 'failed', why: 'the channel closed' } },
      { name: 'next.txt', end: { state: 'failed', why: 'the channel closed' } },
    ])
    expect(bob.items()).toMatchObject([{ end: { state: 'failed', why: 'the channel closed' } }])
  })

  it('a file that was sent, but not confirmed when the channel closed, is not complete', async () => {
    const [near] = pair()
    const alice = watched(near)
    await alice.exchange.sendFile(new File(['content'], 'a.txt'))
    alice.exchange.close('the channel closed')
    expect(alice.items()).toMatchObject([{ end: { state: 'failed', why: 'the channel closed' } }])
  })

  it('does not change any item once it is closed', async () => {
    const [near, far] = pair()
    const alice = watched(near)
    const bob = watched(far)
    await near.send('{"type":"file","id":1,"name":"x","size":1,"mime":""}')
    await near.send(new Uint8Array(1))
    await near.send('{"type":"end","id":1}')
    const sent = alice.exchange.sendFile(new File([new Uint8Array(3 * MIB)], 'a.bin'))
    bob.exchange.close('gone')
    alice.exchange.close('gone')
    const [mine, theirs] = [alice.changes(), bob.changes()]
    await sent
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect([alice.changes(), bob.changes()]).toEqual([mine, theirs])
  })
})

describe('readNote', () => {
  it.each([
    '',
    '7',
    'null',
    '{}',
    '{"type":"file","id":1,"name":1,"size":1}',
    '{"type":"file","id":1,"name":"x","size":-1}',
    '{"type":"file","name":"x","size":1}',
    '{"type":"received","id":1.5}',
    '{"type":"shout","id":1}',
  ])('returns nothing for %j', (text) => expect(readNote(text)).toBeUndefined())

  it('ignores an invalid digest', () => {
    expect(readNote('{"type":"end","id":1,"sha256":"<b>"}')).toEqual({
      type: 'end',
      id: 1,
      sha256: undefined,
    })
  })

  it('limits the length of a reason', () => {
    expect(readNote('{"type":"abort","id":1,"why":7}')).toEqual({
      type: 'abort',
      id: 1,
      why: 'no reason was given',
    })
    const why = 'x'.repeat(1_000)
    expect(readNote(JSON.stringify({ type: 'refused', id: 1, why }))).toMatchObject({ why: 'x'.repeat(200) })
  })
})
