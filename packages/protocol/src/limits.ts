/** The limits of the native wire, with their reasons (SPEC.md §8). */
export const limits = {
  /** Bytes of one WebSocket message. Offers with many candidates stay below 16 KiB; 64 KiB leaves room for messages. */
  frameBytes: 64 * 1024,
  /** UTF-16 units of a body: what a frame has left beside the other fields and escapes. */
  bodyLength: 48 * 1024,
  /** Levels of nesting in a frame's object. The deepest frame, `ack`, needs three: the object, a list, its items. */
  depth: 6,
  /** Characters of an access token. A JWT with a few claims and an RSA signature has about 800. */
  tokenLength: 8_192,
  /** Characters of the text of a close. RFC 6455 §5.5 leaves 123 bytes for it in a close frame. */
  closeTextLength: 123,
  /** Names in one lookup or watch. */
  namesPerLookup: 64,
  /** Acknowledgements in one `ack`. */
  acksPerFrame: 64,
  /** Characters of a stream id: 64 random bits in base64url, so that no other peer can guess it and acknowledge. */
  streamLength: 11,
  /** Names that one connection may watch. */
  watches: 256,
  /** Rooms that one connection may join. */
  rooms: 64,
  /** Members of one room. */
  membersPerRoom: 10_000,
  /** Members in one `roomed` or `changed`. */
  membersPerPage: 256,
  /** URLs of TURN servers. Browsers ask all of them before each channel, and warn above four. */
  turnUrls: 8,
  /** The longest duration in a report, in milliseconds. A handshake has 30 s, but its machine may sleep meanwhile. */
  reportMs: 600_000,
  /** Milliseconds from opening the socket to the claim. */
  handshakeMs: 10_000,
} as const
