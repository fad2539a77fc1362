import type { App } from '@peerage/protocol'
import type { Lease } from './registry.js'

/**
 * Lists the names of an app. It scans the whole store, so it is only for discovery, where an operator allows it, and
 * the caller caches the answer. Contract (testing/contracts/directory-contract.ts):
 * - a lease that exists from before the scan until after it is listed once, as long as there are at most `most`;
 * - a lease that begins or ends during the scan may be missing or listed;
 * - an outage rejects with `RegistryUnavailable`.
 */
export interface Directory {
  /** At most `most` leases, in no particular order. `complete: false` means that there are more. */
  list(app: App, most: number): Promise<{ leases: Lease[]; complete: boolean }>
}
