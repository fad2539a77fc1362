import type { App } from '@peerage/protocol'
import type { Lease } from './registry.js'

/**
 * Who is in an app. It walks over the whole store, so it is for discovery only, where an operator allows it, and
 * its caller keeps the answer for a while. Contract: every lease that stands from before the walk to after it is
 * listed once, up to `most`; one that comes or goes meanwhile may be. An outage rejects with `RegistryUnavailable`.
 */
export interface Directory {
  /** At most `most` leases, in no order; `complete: false` where there are more. */
  list(app: App, most: number): Promise<{ leases: Lease[]; complete: boolean }>
}
