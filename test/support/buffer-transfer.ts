import { onTestFinished } from 'vitest'

/** Gives the test `ArrayBuffer.prototype.transfer`, which Node 20 lacks. `givenBack` counts the bytes that it took. */
export function countTransfers(): { givenBack: number } {
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
