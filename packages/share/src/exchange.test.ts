import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Conduit, Item } from './exchange.js'
import { Exchange } from './exchange.js'
import { readNote } from './note.js'

type Data = string | Uint8Array<ArrayBuffer>

/** Two ends of a channel in memory; what one sends, the other hears in a later turn. */
function pair(change: (data: Data) => Data = (data) => data): [Conduit, Conduit] {
  const listeners: ((data: Data) => void)[][] = [[], []]
  const end = (mine: number): Conduit => ({
    async send(data) {
      await Promise.resolve()
      // A copy, as a network makes one: the sender may use its buffer again.
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

/** An exchange whose items can be waited for. */
function watched(conduit: Conduit) {
  let items: readonly Item[] = []
  const waiting = new Set<() => void>()
  const exchange = new Exchange(conduit, [], (next) => {
    items = next
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
  return { exchange, settled }
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

  it('says so when a file arrives changed', async () => {
    const [near, far] = pair((data) => (typeof data === 'string' ? data : data.fill(0)))
    const alice = watched(near)
    const bob = watched(far)
    await alice.exchange.sendFile(new File(['content'], 'a.txt'))
    expect(await bob.settled(1)).toMatchObject([
      { end: { state: 'broken', why: expect.stringContaining('SHA-256') } },
    ])
  })

  it.each([
    ['longer', ['{"type":"file","name":"x","size":1,"mime":""}', new Uint8Array(2)]],
    ['shorter', ['{"type":"file","name":"x","size":9,"mime":""}', new Uint8Array(2), '{"type":"end"}']],
    ['unexpected', ['{"type":"file","name":"x","size":9,"mime":""}', 'nonsense']],
  ] satisfies [string, Data[]][])('breaks off what is %s', async (why, messages) => {
    const [near, far] = pair()
    const bob = watched(far)
    for (const message of messages) await near.send(message)
    expect(await bob.settled(1)).toMatchObject([
      { end: { state: 'broken', why: expect.stringContaining(why) } },
    ])
  })

  it('breaks off what is under way when the channel goes', async () => {
    const [near, far] = pair()
    const bob = watched(far)
    await near.send('{"type":"file","name":"x","size":9,"mime":""}')
    bob.exchange.close('the channel closed')
    expect(await bob.settled(1)).toMatchObject([{ end: { state: 'broken', why: 'the channel closed' } }])
  })
})

describe('readNote', () => {
  it.each([
    '',
    '7',
    'null',
    '{}',
    '{"type":"file","name":1,"size":1}',
    '{"type":"file","name":"x","size":-1}',
  ])('takes nothing from %j', (text) => expect(readNote(text)).toBeUndefined())

  it('ignores a digest that is none', () => {
    expect(readNote('{"type":"end","sha256":"<b>"}')).toEqual({ type: 'end', sha256: undefined })
  })
})
