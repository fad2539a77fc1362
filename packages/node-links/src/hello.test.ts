import { mintNodeId } from '@peerage/core'
import fc from 'fast-check'
import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { Hello } from './hello.js'
import { encodeHello, isSame, parseHello, readHello } from './hello.js'

const [from, to] = [mintNodeId(), mintNodeId()]
const TOKEN = 'x'.repeat(43)
const hellos: Hello[] = [
  { from, to },
  { from, to, token: TOKEN },
]
const said = (fields: object): string => JSON.stringify({ v: 1, from, to, ...fields })

function framed(json: string): Buffer {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(Buffer.byteLength(json))
  return Buffer.concat([head, Buffer.from(json)])
}

describe('[LINK9] a hello', () => {
  test.each(hellos)('is read as it was said, with what came behind it', async (hello) => {
    const [socket, rest] = [new PassThrough(), Buffer.from('what came behind')]
    const reading = readHello(socket)
    socket.write(Buffer.concat([encodeHello(hello), rest]))
    expect(await reading).toEqual({ hello, rest })
    // Who takes the connection over listens first, and has it go on then.
    expect(socket.isPaused()).toBe(true)
    expect(socket.listenerCount('data') + socket.listenerCount('close')).toBe(0)
  })

  test('may come byte by byte', async () => {
    const socket = new PassThrough()
    const reading = readHello(socket)
    for (const byte of encodeHello({ from, to, token: TOKEN })) socket.write(Buffer.of(byte))
    expect(await reading).toEqual({ hello: { from, to, token: TOKEN }, rest: Buffer.alloc(0) })
  })

  test('may hold more than this version knows', () => {
    expect(parseHello(said({ zone: 'a' }))).toEqual({ from, to })
  })
})

describe('[LINK10] what is no hello is refused', () => {
  test.each([
    ['empty', ''],
    ['no JSON', '{'],
    ['null', 'null'],
    ['a list', '[1]'],
    ['another version', said({ v: 2 })],
    ['no version', said({ v: undefined })],
    ['from nobody', said({ from: undefined })],
    ['from no NodeId', said({ from: 'node 1' })],
    ['to nobody', said({ to: null })],
    ['to a list', said({ to: [to] })],
    ['a token that is a number', said({ token: 1 })],
    ['a token that is a list', said({ token: [TOKEN] })],
  ])('%s', async (_, json) => {
    expect(parseHello(json)).toBeUndefined()
    const socket = new PassThrough()
    const reading = readHello(socket)
    socket.write(framed(json))
    await expect(reading).rejects.toThrow('no hello')
  })

  test('one that claims to be longer than any, before more of it is read', async () => {
    const socket = new PassThrough()
    const reading = readHello(socket)
    socket.write(Buffer.from([0x02, 0x01]))
    await expect(reading).rejects.toThrow('no hello')
  })

  test.each([
    ['before it', Buffer.alloc(0)],
    ['in its length', Buffer.of(0)],
    ['within it', encodeHello({ from, to }).subarray(0, 20)],
  ])('one whose connection ends %s', async (_, bytes) => {
    const socket = new PassThrough()
    const reading = readHello(socket)
    if (bytes.length > 0) socket.write(bytes)
    socket.destroy()
    await expect(reading).rejects.toThrow('ended')
    await expect(readHello(socket)).rejects.toThrow('ended')
  })

  test('whatever comes, it does not throw', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json({ maxDepth: 3 })), (text) => {
        parseHello(text)
        parseHello(said({ from: text, token: text }))
      }),
    )
  })
})

test('[LINK9] tokens are the same only where all of them is', () => {
  expect(isSame(TOKEN, TOKEN)).toBe(true)
  for (const other of [undefined, '', TOKEN.slice(1), `${TOKEN}x`, TOKEN.toUpperCase()])
    expect(isSame(other, TOKEN)).toBe(false)
})
