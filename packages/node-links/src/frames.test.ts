import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeFrame, frameReader } from './frames.js'

interface Frame {
  confirmed: number
  first: number
  records: string
}

const NUMBER_MOST = 2 ** 48 - 1
const FRAME_MOST = 64 * 1024 * 1024
const number = fc.oneof(fc.nat(), fc.constantFrom(0, 1, NUMBER_MOST - 1, NUMBER_MOST))
const frame = fc.record({
  confirmed: number,
  first: number,
  // Whole characters, because UTF-8 cannot carry half of a surrogate pair, and no record holds one.
  records: fc.string({ unit: 'grapheme', maxLength: 300 }),
})

function reading(): { read: (chunk: Buffer) => boolean; frames: Frame[] } {
  const frames: Frame[] = []
  const reader = frameReader((confirmed, first, records) => void frames.push({ confirmed, first, records }))
  return { read: (chunk) => reader.read(chunk), frames }
}

function cut(bytes: Buffer, at: number[]): Buffer[] {
  const places = [...new Set(at.map((place) => place % (bytes.length + 1)))].toSorted((a, b) => a - b)
  return [0, ...places].map((place, i) => bytes.subarray(place, places[i] ?? bytes.length))
}

describe('[LINK12] frames', () => {
  test('are read as they were written, wherever the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), fc.array(fc.nat(), { maxLength: 60 }), (sent, at) => {
        const bytes = Buffer.concat(sent.map((one) => encodeFrame(one.confirmed, one.first, one.records)))
        const { read, frames } = reading()
        for (const chunk of cut(bytes, at)) expect(read(chunk)).toBe(true)
        expect(frames).toEqual(sent)
      }),
    )
  })

  test('are read as they were written, byte by byte', () => {
    const sent = { confirmed: 7, first: 8, records: 'records with é and 😀' }
    const { read, frames } = reading()
    for (const byte of encodeFrame(sent.confirmed, sent.first, sent.records))
      expect(read(Buffer.of(byte))).toBe(true)
    expect(frames).toEqual([sent])
  })

  test.each([
    ['shorter than its head', 11],
    ['empty', 0],
    ['longer than any window', FRAME_MOST + 1],
    ['as long as can be said', 2 ** 32 - 1],
  ])('a frame whose length is %s is refused as soon as its length is read', (_, length) => {
    const head = Buffer.alloc(4)
    head.writeUInt32BE(length)
    const { read, frames } = reading()
    expect(read(Buffer.concat([encodeFrame(1, 2, 'good'), head]))).toBe(false)
    expect(frames).toEqual([{ confirmed: 1, first: 2, records: 'good' }])
  })

  test('the reader never throws: it refuses bytes or waits for more', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (chunks) => {
        const { read } = reading()
        for (const chunk of chunks) if (!read(Buffer.from(chunk))) return
      }),
    )
  })
})
