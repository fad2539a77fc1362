import { expect, test } from 'vitest'
import { releaseBytes } from './release.js'

test('all of a buffer is given back, and a part of a larger one is left alone', () => {
  const whole = new Uint8Array(1024)
  releaseBytes(whole)
  expect(whole.length).toBe(0)
  const larger = new ArrayBuffer(1024)
  releaseBytes(new Uint8Array(larger, 1))
  releaseBytes(new Uint8Array(larger, 0, 1023))
  expect(larger.byteLength).toBe(1024)
})

test('memory that cannot be given away stays', () => {
  const { buffer } = new WebAssembly.Memory({ initial: 1 })
  releaseBytes(new Uint8Array(buffer))
  expect(buffer.byteLength).toBe(65_536)
})
