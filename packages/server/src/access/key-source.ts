import type { Refusal } from './refusal.js'
import type { TokenHeader } from './token-header.js'
import type { VerificationKey } from './verification-key.js'

/** Where the keys of an app come from. */
export interface KeySource {
  /** The keys that may have signed a token with this header, or why there are none. */
  find(header: TokenHeader): Promise<{ ok: true; keys: readonly VerificationKey[] } | Refusal>
  stop(): void
}
