/** The bytes of a block of a test file: the same in a page and here. */
export function contentOf(index: number, length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4))
  let state = (index + 1) * 0x9e37_79b9
  for (let at = 0; at < words.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    words[at] = state
  }
  return new Uint8Array(words.buffer).slice(0, length)
}
