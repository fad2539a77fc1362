// A STUN server (RFC 8489 Binding) and its parts. It imports only Node's modules, and nothing starts on import.
export { type Family, type TransportAddress, transportAddress } from './address.js'
export { type Attribute, ATTRIBUTE, MAGIC_COOKIE } from './attributes.js'
export type { StunClock } from './clock.js'
export type { Drop, StunCounters } from './counters.js'
export { bindUdp, listenTcp } from './bind.js'
export {
  type Seals,
  type Verdict,
  longTermKey,
  seal,
  shortTermKey,
  verifyFingerprint,
  verifyIntegrity,
  verifyIntegritySha256,
} from './integrity.js'
export {
  type Decoded,
  type Malformed,
  type Message,
  type MessageClass,
  BINDING,
  decode,
  encode,
  find,
} from './message.js'
export {
  type QueryOptions,
  type QueryResult,
  QUERY_DEFAULTS,
  queryBinding,
  retransmissionWaits,
} from './query.js'
export type { Rate } from './rate.js'
export {
  type StunServer,
  type StunServerOptions,
  type StunStage,
  STUN_DEFAULTS,
  createStunServer,
} from './server.js'
export type { TcpLimits } from './tcp.js'
export {
  type MintOptions,
  type TurnCredentials,
  type TurnSecrets,
  type TurnVerdict,
  type VerifyOptions,
  mintTurnCredentials,
  verifyTurnCredentials,
} from './turn-credentials.js'
