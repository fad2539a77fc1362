import { onTestFinished, vi } from 'vitest'

/**
 * Makes the test run as in Firefox, with `ArrayBuffer.prototype.transfer`, which Node 20 lacks. `givenBack` counts the bytes
 * that it took.
 */
export function countTransfers(): { givenBack: number } {
  runAsIn('Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0')
  const { prototype } = ArrayBuffer
  const before = Object.getOwnPropertyDescriptor(prototype, 'transfer')
  onTestFinished(() => {
    Reflect.deleteProperty(prototype, 'transfer')
    if (before !== undefined) Object.defineProperty(prototype, 'transfer', before)
  })
  const count = { givenBack: 0 }
  function transfer(this: ArrayBuffer): ArrayBuffer {
    count.givenBack += this.byteLength
    structuredClone(this, { transfer: [this] })
    return new ArrayBuffer()
  }
  Object.defineProperty(prototype, 'transfer', { configurable: true, value: transfer })
  return count
}

/** Makes the test run as in a browser of this name. */
export function runAsIn(userAgent: string): void {
  vi.stubGlobal('navigator', { userAgent })
  onTestFinished(() => void vi.unstubAllGlobals())
}
