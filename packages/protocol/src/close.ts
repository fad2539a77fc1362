/**
 * Close codes of the native wire (RFC 6455 §7.4.2 leaves 4000–4999 to applications). The range decides:
 * 4000–4499 come back, 4500–4999 do not. SPEC.md §5.
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
  superseded: 4500,
  left: 4501,
  refused: 4502,
  protocol: 4503,
  'token-expired': 4504,
} as const satisfies Record<string, number>

export type CloseReason = keyof typeof closeCodes

/** Apart from the final ones, since only nodes say them: a bundled SDK is smaller without. */
const passingTexts: Partial<Record<CloseReason, string>> = {
  drain: 'the node is shutting down; connect again',
  'lease-lost': 'the lease was lost; claim again',
  'ping-timeout': 'no answer to a ping in time',
  'slow-consumer': 'the peer reads too slowly',
  'rate-limited': 'too many requests',
  'claim-timeout': 'no name claimed in time',
  overloaded: 'the node takes no more connections right now',
  'registry-unavailable': 'the registry cannot be reached right now',
  internal: 'a fault of this node',
}

/** What the SDK says of a connection that stays closed. */
export const finalTexts: Partial<Record<CloseReason, string>> = {
  superseded: 'the holder connected again elsewhere',
  left: 'the peer left',
  refused: 'the claim was refused',
  protocol: 'too many malformed frames',
  'token-expired': 'the access token is no longer valid',
}

/** For people: why a connection is closed. */
export function closeTextOf(reason: CloseReason): string {
  return passingTexts[reason] ?? finalTexts[reason] ?? reason
}

/** True when a connection closed with this code should be opened again. Standard codes (below 4000) are cuts. */
export function mayReconnect(code: number): boolean {
  return code < 4500
}

export function closeReasonOf(code: number): CloseReason | undefined {
  for (const [reason, own] of Object.entries(closeCodes)) if (own === code) return reason as CloseReason
  return undefined
}
