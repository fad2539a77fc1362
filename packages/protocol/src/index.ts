// Names and other identifiers
export type { App, ConnectionId, Name, NodeId, Parsed, Peer, Room, RoomId, Secret } from './ids.js'
export {
  appOf,
  nameOf,
  parseApp,
  parseConnectionId,
  parseName,
  parseNodeId,
  parsePeer,
  parseRoom,
  parseSecret,
  peerOf,
  parseRoomId,
  roomIdOf,
  roomOf,
  utf8Length,
} from './ids.js'
export {
  formatHost,
  formatHostPort,
  formatIceUrl,
  icePort,
  iceTransport,
  parseHostPort,
  parseIceUrl,
} from './ice-url.js'

// Frames
export type {
  Hello,
  Kind,
  NodeMessage,
  NodeMessageOf,
  PeerMessage,
  PeerMessageOf,
  PresenceState,
  TurnCredentials,
} from './messages.js'
export { PROTOCOL_VERSION } from './messages.js'
export {
  EVENT_PREFIX,
  decodeFrame,
  decodeHello,
  decodeNodeMessage,
  encodeNodeMessage,
  encodeStamped,
  stampOf,
} from './decode.js'
export { isObject } from './rules.js'
export { limits } from './limits.js'

// Errors and close codes
export type { ErrorCode, ProtocolError } from './errors.js'
export { errorTexts, isErrorCode, protocolError, temporary } from './errors.js'
export type { CloseReason } from './close.js'
export { chosenCode, closeCodes, closeReasonOf, closeTextOf, finalTexts, mayReconnect } from './close.js'
