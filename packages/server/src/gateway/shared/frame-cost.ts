/** Up to so many bytes a frame is cheap to read, whatever it holds: there its number counts. */
const CHEAP_BYTES = 512
/** So many texts are in the longest `send`, and fewer other characters than that: it counts for its bytes. */
const FREE_TEXTS = 16
const FREE_OUTSIDE = 128
/**
 * To read a text costs as much as so many bytes within one, and a character outside of all texts as much as so many:
 * measured with Node 20, 2 ns for a byte of a long text, 10 to 13 for each character of `0,` or `[],`, and for a short text
 * from 60, as a key that many objects have, to 900, as a key that none had before.
 */
const TEXT_BYTES = 200
const OUTSIDE_BYTES = 8

/** Beside its bytes no frame of the native wire costs more: 64 acknowledgements, the slowest of all, some 120,000. */
const BESIDE_MOST = 131_072

const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * What a frame of JSON counts for against a rate of bytes: its own `bytes`, and more for what is slow to read in it. A
 * body is one long text; 50 KB of objects with ever new keys take fifty times as long.
 */
export function costOf(frame: string, bytes: number): number {
  if (bytes <= CHEAP_BYTES) return bytes
  let texts = 0
  let outside = 0
  for (let at = 0; at < frame.length; at++)
    if (frame.charCodeAt(at) === QUOTE) {
      texts++
      at = endOfText(frame, at + 1)
    } else outside++
  return (
    bytes + Math.max(0, texts - FREE_TEXTS) * TEXT_BYTES + Math.max(0, outside - FREE_OUTSIDE) * OUTSIDE_BYTES
  )
}

/** Whether a frame of the native wire holds more than any message has. It is refused unread: to read it costs most. */
export function holdsTooMuch(cost: number, bytes: number): boolean {
  return cost - bytes > BESIDE_MOST
}

/** Where the quote stands that ends a text; without one, where the frame ends. */
function endOfText(frame: string, start: number): number {
  // One without escapes before its first quote is passed at once.
  const quote = frame.indexOf('"', start)
  if (quote < 0) return frame.length
  if (quote === start || frame.charCodeAt(quote - 1) !== BACKSLASH) return quote
  for (let at = start; at < frame.length; at++) {
    const unit = frame.charCodeAt(at)
    if (unit === QUOTE) return at
    if (unit === BACKSLASH) at++
  }
  return frame.length
}
