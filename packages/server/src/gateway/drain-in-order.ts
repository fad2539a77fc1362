import { inTurn, type OnError } from '@peerage/core'
import type { HttpGateway } from './http-gateway.js'

/** The share of the time for gateways that drain last. */
const LAST_SHARE = 1 / 3

type Drained = Pick<HttpGateway, 'drainsLast' | 'connections' | 'drain'>

/**
 * Moves the peers of all gateways to other nodes within `ms`. Gateways that drain last begin when the others have ended.
 * What a gateway throws is reported, and the others are drained all the same.
 */
export async function drainInOrder(
  gateways: readonly Drained[],
  ms: number,
  onError: OnError,
): Promise<void> {
  const last = gateways.filter(({ drainsLast, connections }) => drainsLast === true && connections > 0)
  const first = gateways.filter((gateway) => !last.includes(gateway))
  const lastMs = last.length > 0 ? ms * LAST_SHARE : 0
  const drain = (some: readonly Drained[], someMs: number): Promise<unknown> =>
    Promise.all(
      some.map((gateway) =>
        inTurn([() => gateway.drain(someMs)], (error) => onError(error, { stage: 'drain' })),
      ),
    )
  await drain(first, ms - lastMs)
  await drain(last, lastMs)
}
