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
  test.each(hellos)('is read as it was written, with the bytes that follow it', async (hello) => {
    const [socket, rest] = [new PassThrough(), Buffer.from('the bytes that follow')]
    const reading = readHello(socket)
    socket.write(Buffer.concat([encodeHello(hello), rest]))
    expect(await reading).toEqual({ hello, rest })
    // The next owner of the socket adds its listeners first, and then resumes the socket.
    expect(socket.isPaused()).toBe(true)
    expect(socket.listenerCount('data') + socket.listenerCount('close')).toBe(0)
  })

  test('may arrive byte by byte', async () => {
    const socket = new PassThrough()
    const reading = readHello(socket)
    for (const byte of encodeHello({ from, to, token: TOKEN })) socket.write(Buffer.of(byte))
    expect(await reading).toEqual({ hello: { from, to, token: TOKEN }, rest: Buffer.alloc(0) })
  })

  test('may have fields that this version does not know', () => {
    expect(parseHello(said({ zone: 'a' }))).toEqual({ from, to })
  })
})

describe('[LINK10] anything but a hello is refused', () => {
  test.each([
    ['empty', ''],
    ['not JSON', '{'],
    ['null', 'null'],
    ['a list', '[1]'],
    ['another version', said({ v: 2 })],
    ['no version', said({ v: undefined })],
    ['no sender', said({ from: undefined })],
    ['a sender that is not a NodeId', said({ from: 'node 1' })],
    ['no receiver', said({ to: null })],
    ['a receiver that is a list', said({ to: [to] })],
    ['a token that is a number', said({ token: 1 })],
    ['a token that is a list', said({ token: [TOKEN] })],
  ])('%s', async (_, json) => {
    expect(parseHello(json)).toBeUndefined()
    const socket = new PassThrough()
    const reading = readHello(socket)
    socket.write(framed(json))
    await expect(reading).rejects.toThrow('not a hello')
  })

  test('a length above the limit, before more is read', async () => {
    const socket = new PassThrough()
    const reading = readHello(socket)
    socket.write(Buffer.from([0x02, 0x01]))
    await expect(reading).rejects.toThrow('not a hello')
  })

  test.each([
    ['before it', Buffer.alloc(0)],
    ['in its length', Buffer.of(0)],
    ['within it', encodeHello({ from, to }).subarray(0, 20)],
  ])('a connection that ends %s', async (_, bytes) => {
    const socket = new PassThrough()
    const reading = readHello(socket)
    if (bytes.length > 0) socket.write(bytes)
    socket.destroy()
    await expect(reading).rejects.toThrow('ended')
    await expect(readHello(socket)).rejects.toThrow('ended')
  })

  test('parseHello never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json({ maxDepth: 3 })), (text) => {
        parseHello(text)
        parseHello(said({ from: text, token: text }))
      }),
    )
  })
})

test('[LINK9] two tokens are the same only if all of their characters are', () => {
  expect(isSame(TOKEN, TOKEN)).toBe(true)
  for (const other of [undefined, '', TOKEN.slice(1), `${TOKEN}x`, TOKEN.toUpperCase()])
    expect(isSame(other, TOKEN)).toBe(false)
})
