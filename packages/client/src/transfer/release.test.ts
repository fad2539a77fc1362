import { expect, test } from 'vitest'
import { runAsIn } from '@peerage/test-support/buffer-transfer.js'
import { releaseBytes } from './release.js'

/** A buffer of a browser that can transfer it, and the sizes for which it was asked. */
function bufferThatTransfers(length: number): { buffer: ArrayBuffer; asked: number[] } {
  const buffer = new ArrayBuffer(length)
  const asked: number[] = []
  const transfer = (bytes: number): ArrayBuffer => {
    asked.push(bytes)
    return new ArrayBuffer(bytes)
  }
  Object.defineProperty(buffer, 'transfer', { value: transfer })
  return { buffer, asked }
}

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
const CHROMIUM =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36'

test('in Firefox, all of a buffer is given back, and a part of a larger one is left alone', () => {
  runAsIn(FIREFOX)
  const whole = bufferThatTransfers(1024)
  releaseBytes(new Uint8Array(whole.buffer))
  expect(whole.asked).toEqual([0])
  const larger = bufferThatTransfers(1024)
  releaseBytes(new Uint8Array(larger.buffer, 1))
  releaseBytes(new Uint8Array(larger.buffer, 0, 1023))
  expect(larger.asked).toEqual([])
})

test('in Chromium, which would keep the memory for longer, the bytes stay', () => {
  runAsIn(CHROMIUM)
  const { buffer, asked } = bufferThatTransfers(8)
  releaseBytes(new Uint8Array(buffer))
  expect(asked).toEqual([])
})

test('where buffers cannot be transferred, the bytes stay', () => {
  runAsIn(FIREFOX)
  const buffer = new ArrayBuffer(8)
  Object.defineProperty(buffer, 'transfer', { value: undefined })
  releaseBytes(new Uint8Array(buffer))
  expect(buffer.byteLength).toBe(8)
})
