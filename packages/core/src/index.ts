// The public face of the core: the node, the contracts that stores and gateways implement, and the helpers that both
// use.

export { Node } from './node.js'
export type { Admission, NodeOptions, Readiness } from './node.js'
export type { Backend, BackendEvent, OnError } from './backend.js'
export { checkTimes, defaultTimes, staleLeaseMs } from './times.js'
export type { Times } from './times.js'
export { memoryCluster } from './memory/index.js'
export type { MemoryCluster, MemoryClusterOptions } from './memory/index.js'

// Names.
export type { ClaimOutcome, ClaimRequest, Ending } from './names/claims.js'
export type { DisconnectOptions } from './names/disconnects.js'
export type { ListCursor, ListPage, ListedPeer } from './names/listing.js'
export { INDEX_BATCH_MOST, PARTITIONS, partitionOf } from './names/name-index.js'
export type { IndexChange, IndexEntry, IndexPage, NameIndex } from './names/name-index.js'
export { checkAnnouncement, deadRetentionMs } from './names/nodes.js'
export type { NodeSeen, NodeStatus, Nodes, NodesView } from './names/nodes.js'
export { mintNodeId } from './names/node-heartbeat.js'
export {
  PRESENTED_AHEAD_MOST_MS,
  RegistryUnavailable,
  hashSecret,
  mintName,
  rankOf,
  ranked,
} from './names/registry.js'
export type {
  ClaimOptions,
  Claimed,
  Lease,
  Lost,
  Owner,
  Reasserted,
  ReassertOptions,
  Registry,
} from './names/registry.js'
export { RECORDS_BATCH_MOST } from './records.js'
export type { Answers, RecordKind, Records, RecordsPage } from './records.js'
export type { Presence, PresenceChange, Seen } from './presence/presence.js'

// Connections, and the messages between them.
export { appOfSession } from './sessions/sessions.js'
export type {
  AdmittedSession,
  AnonymousSession,
  CloseOptions,
  Connection,
  Holder,
  OnlineSession,
  RoomChange,
  RoomText,
  ServerMessage,
  Session,
} from './sessions/sessions.js'
export { Router } from './routing/router.js'
export type { Outcome } from './routing/router.js'
export type { Envelope, Message, Whom, Wire } from './routing/message.js'
export type { Bus, Origin, Published, Receive } from './routing/bus.js'
export { decodeEnvelopes, decodeMessage } from './routing/decode.js'
export { encodeEnvelope, encodeMessage } from './routing/encode.js'
export { defaultMailboxLimits } from './routing/mailbox.js'
export type { Mailbox, MailboxLimits } from './routing/mailbox.js'
export type { Member, Membership, RoomRegistry } from './rooms/registry.js'
export type { Seat, SeatLoss, SeatRegistry, SeatState } from './rooms/seat-registry.js'
export type { AnonymousJoin } from './rooms/anonymous-rooms.js'
export type { Entered, EnterOptions } from './pools/pools.js'
export type { Drawn, KeptMember, PoolMember, PoolRegistry, PoolSize } from './pools/registry.js'

export { memberLimits } from './limits.js'

// Helpers.
export { Batches, Rush, afterEvent, afterTurn } from './lib/batching.js'
export { CoarseTimers } from './lib/coarse-timers.js'
export { systemClock } from './lib/clock.js'
export type { Clock, Timer } from './lib/clock.js'
export { inTurn } from './lib/in-turn.js'
export { Semaphore } from './lib/semaphore.js'
