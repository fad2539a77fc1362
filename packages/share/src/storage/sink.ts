import type { Received } from '@peerage/client/transfer'

/** A place that takes bytes in order. Calls do not overlap. */
export interface Sink {
  /** Resolves when there is room for more. @throws StoreError */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>
  /** Resolves when all bytes are at their place. @throws StoreError */
  finish(): Promise<Received>
  /** Gives up. Nothing partial stays that could pass for the whole, as far as the browser allows. */
  abort(): Promise<void>
}
