/** A frame up to this length is cheap to parse, whatever it holds. The limit on messages a second bounds these. */
const CHEAP_BYTES = 512
/** The largest `send` has no more strings than this, and fewer characters outside strings. So it costs its bytes only. */
const FREE_TEXTS = 16
const FREE_OUTSIDE = 128
/**
 * The cost of a string, and of a character outside strings, in bytes of a long string. Measured with Node 20: a byte of
 * a long string takes 2 ns, and each character of `0,` or `[],` takes 10 to 13 ns. A short string takes from 60 ns (a key
 * that many objects have) to 900 ns (a key that no object had before).
 */
const TEXT_BYTES = 200
const OUTSIDE_BYTES = 8

/** No valid frame of the native wire costs more than this beyond its bytes. 64 acknowledgements, the maximum, cost 120,000. */
const MAX_EXTRA_COST = 131_072

const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * The cost of a JSON frame against a limit of bytes a second: its length in `bytes`, plus a charge for contents that are
 * slow to parse. A body is one long string. 50 KB of objects with ever new keys take fifty times as long.
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

/** Whether a frame of the native wire is more complex than any valid message. It is refused without parsing it. */
export function holdsTooMuch(cost: number, bytes: number): boolean {
  return cost - bytes > MAX_EXTRA_COST
}

/** The index of the quote that ends a string, or the end of the frame if there is none. */
function endOfText(frame: string, start: number): number {
  // The fast path: the string has no escape right before the next quote.
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
