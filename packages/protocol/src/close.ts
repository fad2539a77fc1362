/**
 * The close codes of the native wire (SPEC.md §7). RFC 6455 §7.4.2 leaves 4000–4999 to applications. After 4000–4499 a
 * client comes back, after 4500–4999 it does not.
 */
export const closeCodes = {
  drain: 4000,
  'lease-lost': 4001,
  'ping-timeout': 4002,
  'slow-consumer': 4003,
  'rate-limited': 4004,
  'claim-timeout': 4005,
  overloaded: 4006,
  'registry-unavailable': 4007,
  internal: 4008,
  'access-unavailable': 4009,
  superseded: 4500,
  left: 4501,
  refused: 4502,
  protocol: 4503,
  'token-expired': 4504,
  disconnected: 4505,
} as const satisfies Record<string, number>

/** The reason for which a node closes a connection: a name for each close code. */
export type CloseReason = keyof typeof closeCodes

/** Apart from the final texts because only nodes send these: a bundled SDK is smaller without them. */
const passingTexts: Partial<Record<CloseReason, string>> = {
  drain: 'the node is shutting down; connect again',
  'lease-lost': 'the node lost the lease of the name; claim it again',
  'ping-timeout': 'the peer did not answer a ping in time',
  'slow-consumer': 'the peer reads too slowly',
  'rate-limited': 'too many requests; connect again later',
  'claim-timeout': 'the peer did not claim a name in time',
  overloaded: 'the node takes no more connections right now; connect again later',
  'registry-unavailable': 'the registry cannot be reached right now; connect again',
  internal: 'the node failed; connect again',
  'access-unavailable': 'the access rules cannot be checked right now; connect again',
}

/** Why a client does not come back. The SDK uses these texts, too. */
export const finalTexts: Partial<Record<CloseReason, string>> = {
  superseded: 'the holder connected again elsewhere',
  left: 'the peer left',
  refused: 'the claim was refused, or the app is no longer served',
  protocol: 'too many malformed frames',
  'token-expired': 'the access token is no longer valid',
  disconnected: 'an application server closed the connection',
}

/** Why a connection is closed, in words. */
export function closeTextOf(reason: CloseReason): string {
  return passingTexts[reason] ?? finalTexts[reason] ?? reason
}

/** Whether a client comes back after this close code. Codes below 4000 mean that the connection was lost. */
export function mayReconnect(code: number): boolean {
  return code < 4500
}

/**
 * The code, if an application server may choose it for a connection that it closes as `disconnected`: 4400 to 4499, after
 * which the client comes back, or 4900 to 4999. Else undefined [WC9].
 */
export function chosenCode(code: number): number | undefined {
  return (code >= 4400 && code < 4500) || (code >= 4900 && code < 5000) ? code : undefined
}

/** The reason of a close code. Undefined for a code that no node sends. */
export function closeReasonOf(code: number): CloseReason | undefined {
  if (chosenCode(code) !== undefined) return 'disconnected'
  for (const [reason, own] of Object.entries(closeCodes)) if (own === code) return reason as CloseReason
  return undefined
}
