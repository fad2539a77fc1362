/** What one connection may have in rooms and pools of other wires than the native one, with the reasons. */
export const memberLimits = {
  /** Rooms that one connection without a name may join. A page of y-webrtc has one for each open document. */
  anonymousRooms: 512,
  /** Members of a group that forms in a room. A store may look at all seats of a waiting group in one step. */
  seats: 1_000,
  /** Memberships in pools that one connection may have. */
  pools: 1_000,
  /** Memberships in one pool that one connection may have. A few clients of one program share a connection. */
  membershipsPerPool: 8,
} as const
