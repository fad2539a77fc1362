interface Transferring extends ArrayBuffer {
  transfer?(bytes: number): ArrayBuffer
}

/**
 * Gives the memory of bytes back at once, and empties them. Nobody may use them any more. Without it, Firefox keeps
 * hundreds of megabytes of blocks until it collects garbage. Bytes that share their memory with others are left alone.
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
  const whole: Transferring = buffer
  // Browsers of before 2024 lack it.
  whole.transfer?.(0)
}
