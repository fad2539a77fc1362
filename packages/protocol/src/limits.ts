/** Every limit of the native wire, each with its reason. SPEC.md §6. */
export const limits = {
  /** One WebSocket frame. Offers with many candidates stay below 16 KiB; 64 KiB leaves room for messages. */
  frameBytes: 64 * 1024,
  /** Body of one message, in UTF-16 units of its string: what is left of a frame after header and escapes. */
  bodyLength: 48 * 1024,
  /** Nesting of a frame: an event, its object, one list, one object in it, and one spare. */
  depth: 6,
  /** Names in one lookup or watch. */
  namesPerLookup: 64,
  /** Acknowledgements in one frame. */
  acksPerFrame: 64,
  /** A stream id: 64 random bits in base64url, so that nobody else's acknowledgement fits. */
  streamLength: 11,
  /** Watched names of one connection. */
  watches: 256,
  /** Rooms of one connection. */
  rooms: 64,
  /** Members of one room. */
  membersPerRoom: 10_000,
  /** Members in one answer. */
  membersPerPage: 256,
  /** URLs of TURN servers: browsers ask every one before each channel, and warn of more than four. */
  turnUrls: 8,
  /** What a report may say that a handshake took: it has 30 s, and a machine may sleep meanwhile. */
  reportMs: 600_000,
  /** Before a peer claims its name, no more than this. */
  handshakeMs: 10_000,
} as const
