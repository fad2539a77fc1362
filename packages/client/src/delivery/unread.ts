// Which of the last messages of a stream the recipient could not read [WD19], as the bits of one number: bit i stands
// for seq next - 1 - i. Every acknowledgement has all bits, so that a lost or late one never makes an unreadable
// message count as delivered.

/** Every message could be read. This is nearly always the case. */
export const ALL_READ = 0n
/** How many messages a sender may be ahead of its first unsettled one [WD6]. Older messages need no bit. */
export const WINDOW = 64
const TEXT_PATTERN = /^[\da-f]{1,16}$/

/** Reads the text that `formatUnread` makes. Any other value means that all messages could be read. */
export function parseUnread(text: unknown): bigint {
  return typeof text === 'string' && TEXT_PATTERN.test(text) ? BigInt(`0x${text}`) : ALL_READ
}

/** The bits in hexadecimal; undefined if all messages could be read. */
export function formatUnread(unread: bigint): string | undefined {
  return unread === ALL_READ ? undefined : unread.toString(16)
}

/** The bits after `count` more messages, which could be read. */
export function shifted(unread: bigint, count: number): bigint {
  return BigInt.asUintN(WINDOW, unread << BigInt(count))
}

/** Marks `count` messages as unreadable. After them came `after` more messages. */
export function withUnread(unread: bigint, count: number, after: number): bigint {
  return unread | shifted((1n << BigInt(count)) - 1n, after)
}

/** The bits of the last `count` messages. The others are settled. */
export function latestOf(unread: bigint, count: number): bigint {
  return BigInt.asUintN(Math.min(count, WINDOW), unread)
}

export function isUnread(unread: bigint, next: number, seq: number): boolean {
  return ((unread >> BigInt(next - 1 - seq)) & 1n) === 1n
}
