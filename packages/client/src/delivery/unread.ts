// Which of the last messages of a stream its recipient could not read [WD19], as the bits of one number: bit i stands
// for seq next - 1 - i. It goes with every acknowledgement, so none that is lost or late makes such a message delivered.

/** Every message could be read: nearly always. */
export const ALL_READ = 0n
/** How far ahead of the first unsettled message a sender may be, in messages [WD6]: no older one need be told of. */
export const WINDOW = 64
const TEXT_PATTERN = /^[\da-f]{1,16}$/

/** What `written` made; whatever else it is: nothing is unread. */
export function readUnread(text: unknown): bigint {
  return typeof text === 'string' && TEXT_PATTERN.test(text) ? BigInt(`0x${text}`) : ALL_READ
}

/** Hexadecimal; undefined when all could be read. */
export function written(unread: bigint): string | undefined {
  return unread === ALL_READ ? undefined : unread.toString(16)
}

/** After `count` more messages. */
export function moved(unread: bigint, count: number): bigint {
  return BigInt.asUintN(WINDOW, unread << BigInt(count))
}

/** `count` messages could not be read; `after` have come since. */
export function marked(unread: bigint, count: number, after: number): bigint {
  return unread | moved((1n << BigInt(count)) - 1n, after)
}

/** The last `count` alone: the others are settled. */
export function lastOf(unread: bigint, count: number): bigint {
  return BigInt.asUintN(Math.min(count, WINDOW), unread)
}

export function isUnread(unread: bigint, next: number, seq: number): boolean {
  return ((unread >> BigInt(next - 1 - seq)) & 1n) === 1n
}
