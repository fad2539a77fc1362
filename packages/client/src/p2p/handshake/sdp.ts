/** What another peer takes that does not say so (RFC 8841 §6.1). */
const MESSAGE_BYTES = 65_536

/** The largest message that the writer of this description takes, in bytes. */
export function messageBytesMaxOf(sdp: string): number {
  const [, said] = /^a=max-message-size:(\d+)/m.exec(sdp) ?? []
  if (said === undefined) return MESSAGE_BYTES
  // 0: any size.
  return Number(said) || Infinity
}
