interface Transferring extends ArrayBuffer {
  transfer?(bytes: number): ArrayBuffer
}

/**
 * In Firefox, gives the memory of bytes back at once, and empties them, so nobody may use them any more. Without it, Firefox
 * keeps hundreds of megabytes of blocks until it collects garbage. Elsewhere it does nothing: Chromium keeps the memory of
 * a buffer that was emptied so, does not count it any more, and so collects no garbage for a long time. Bytes that share
 * their memory with others are left alone.
 *
 * @example
 * import { releaseBytes } from '@peerage/client/transfer'
 *
 * const bytes = new Uint8Array(1024 * 1024)
 * await crypto.subtle.digest('SHA-256', bytes)
 * releaseBytes(bytes)
 */
export function releaseBytes({ buffer, byteLength }: Uint8Array<ArrayBuffer>): void {
  if (byteLength < buffer.byteLength || !isFirefox()) return
  const whole: Transferring = buffer
  // Browsers of before 2024 lack it.
  whole.transfer?.(0)
}

const isFirefox = (): boolean => typeof navigator === 'object' && /\bFirefox\//.test(navigator.userAgent)
