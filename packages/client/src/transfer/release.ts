/** It is closed: what is transferred through it goes nowhere, and its memory is free at once. */
let nowhere: MessagePort | undefined

/**
 * Gives the memory of bytes back, and empties them. Nobody may use them any more. Without it, Firefox keeps hundreds of
 * megabytes of blocks until it collects garbage. `ArrayBuffer.prototype.transfer` does not do it: Chromium
 * then keeps the memory, and does not count it any more. Bytes that share their memory with others are left alone.
 *
 * @example
 * import { releaseBytes } from '@peerage/client/transfer'
 *
 * const bytes = new Uint8Array(1024 * 1024)
 * await crypto.subtle.digest('SHA-256', bytes)
 * releaseBytes(bytes)
 */
export function releaseBytes({ buffer, byteLength }: Uint8Array<ArrayBuffer>): void {
  if (byteLength < buffer.byteLength) return
  nowhere ??= closedPort()
  try {
    nowhere.postMessage(undefined, [buffer])
  } catch {
    // Memory that belongs to somebody else, such as a native library, stays there.
  }
}

function closedPort(): MessagePort {
  const { port1 } = new MessageChannel()
  port1.close()
  return port1
}
