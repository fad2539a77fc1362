import { expect, test } from 'vitest'
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

test('all of a buffer is given back, and a part of a larger one is left alone', () => {
  const whole = bufferThatTransfers(1024)
  releaseBytes(new Uint8Array(whole.buffer))
  expect(whole.asked).toEqual([0])
  const larger = bufferThatTransfers(1024)
  releaseBytes(new Uint8Array(larger.buffer, 1))
  releaseBytes(new Uint8Array(larger.buffer, 0, 1023))
  expect(larger.asked).toEqual([])
})

test('where buffers cannot be transferred, the bytes stay', () => {
  const buffer = new ArrayBuffer(8)
  Object.defineProperty(buffer, 'transfer', { value: undefined })
  releaseBytes(new Uint8Array(buffer))
  expect(buffer.byteLength).toBe(8)
})
