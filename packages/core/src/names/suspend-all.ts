import { Semaphore } from '../lib/semaphore.js'
import type { Leases } from './leases.js'
import type { Lease } from './registry.js'

/** How many suspensions of a node that stops run at once. */
export const SUSPENDED_AT_ONCE = 1_000

/**
 * Suspends the names of a node that stops. If the registry fails for so many in a row, the others are left: their leases
 * end by themselves, and a node that stops has no time to wait for each.
 */
export async function suspendAll(
  leases: Pick<Leases, 'releaseOrSuspend'>,
  names: readonly Lease[],
): Promise<void> {
  const turns = new Semaphore(SUSPENDED_AT_ONCE, names.length)
  let failed = 0
  await Promise.all(
    names.map((lease) =>
      turns.run(async () => {
        if (failed >= SUSPENDED_AT_ONCE) return
        failed = (await leases.releaseOrSuspend(lease, 'suspend')) ? 0 : failed + 1
      }),
    ),
  )
}
