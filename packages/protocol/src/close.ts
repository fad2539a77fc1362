/**
 * Close codes of the native wire (RFC 6455 §7.4.2 leaves 4000–4999 to applications). The range decides:
 * 4000–4499 come back, 4500–4999 do not. SPEC.md §5.
 */
export const closeCodes = {
  drain: { code: 4000, text: 'the node is shutting down; connect again' },
  'lease-lost': { code: 4001, text: 'the lease was lost; claim again' },
  'ping-timeout': { code: 4002, text: 'no answer to a ping in time' },
  'slow-consumer': { code: 4003, text: 'the peer reads too slowly' },
  'rate-limited': { code: 4004, text: 'too many requests' },
  'claim-timeout': { code: 4005, text: 'no name claimed in time' },
  overloaded: { code: 4006, text: 'the node takes no more connections right now' },
  'registry-unavailable': { code: 4007, text: 'the registry cannot be reached right now' },
  internal: { code: 4008, text: 'a fault of this node' },
  superseded: { code: 4500, text: 'the holder connected again elsewhere' },
  left: { code: 4501, text: 'the peer left' },
  refused: { code: 4502, text: 'the claim was refused' },
  protocol: { code: 4503, text: 'too many malformed frames' },
  'token-expired': { code: 4504, text: 'the access token is no longer valid' },
} as const satisfies Record<string, { code: number; text: string }>

export type CloseReason = keyof typeof closeCodes

/** True when a connection closed with this code should be opened again. Standard codes (below 4000) are cuts. */
export function mayReconnect(code: number): boolean {
  return code < 4500
}

export function closeReasonOf(code: number): CloseReason | undefined {
  for (const [reason, row] of Object.entries(closeCodes)) if (row.code === code) return reason as CloseReason
  return undefined
}
