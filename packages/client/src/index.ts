// The exports that all entries share. Each entry adds its own `connect`.
export type { ConnectOptions } from './connect.js'
export type { Clock, Timer } from './lib/clock.js'
export type { Channel, ChannelData, ChannelEvents, ChannelInfo } from './p2p/channel/channel.js'
export type { DiagnoseOptions, Diagnosis, Mapping, Probe } from './p2p/diagnose.js'
export { PeerageError } from './lib/error.js'
export type { PeerageErrorCode, PeerageErrorOptions, SendFailure } from './lib/error.js'
export type { IdentityStorage } from './tier/identity.js'
export type { EndReason, FailedAttempt, PeerState } from './tier/connector.js'
export type { FailureStage } from './p2p/connect-error.js'
export type { P2P, P2PEvents } from './p2p/controls.js'
export { ConnectError } from './p2p/connect-error.js'
export type {
  ChannelOptions,
  ConnectionEnd,
  Outcome,
  P2POptions,
  PeerConnectionClass,
  Verify,
  VerifyLine,
} from './p2p/options.js'
export type { ChannelPath, Endpoint } from './p2p/channel/path.js'
export { Peer } from './peer.js'
export type { RelayPolicy, SendOptions, Waiting } from './peer.js'
export type { ErrorStage, MessageAbout, PeerEvents } from './tier/events.js'
export type { Mesh, MeshEvents, Room, RoomEvents, RoomMember } from './rooms/rooms.js'
export type { SendResult, Via } from './delivery/signaling.js'
export type { OpenTransport, Transport, TransportEvents } from './tier/transport.js'
export type { Presence } from './tier/watches.js'
