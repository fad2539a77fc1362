import type { Comparison, Contender, Metrics, Row } from '../lib/comparison.js'
import { BODY_BYTES, PairLoad, WARM_PAIRS, placePairs } from '../pairs.js'
import { overLinks } from '../paths.js'
import { startStack, type StackName } from '../stacks.js'

interface RoundTripLoad {
  pairs: number
  rate: number
  ms: number
}

const NODES = 2
const SETTLE_MS = 1000
const QUICK_SHARE = 0.1
const OFF = 'peerage, links off'
const PUBLISH = 'ws + PUBLISH'
const STACKS: readonly StackName[] = ['peerage', OFF, PUBLISH]

function contender(name: StackName, full: RoundTripLoad): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const scale = quick ? QUICK_SHARE : 1
      const stack = await startStack(name, NODES)
      const places = placePairs({ pairs: WARM_PAIRS, active: NODES }, stack.ports)
      const load = await PairLoad.start(stack, places, { processes: 1, echo: true, precise: true })
      const stop = async (): Promise<void> => {
        await load.stop()
        await stack.stop()
      }
      const traffic = (ms: number): Promise<Metrics> =>
        load.run({ rate: full.rate, ms: ms * scale, window: 0, pairs: full.pairs })
      try {
        await load.warmUp(scale)
        await traffic(SETTLE_MS)
        return { measure: () => overLinks(stack, () => traffic(full.ms)), stop }
      } catch (error) {
        await stop()
        throw error
      }
    },
  }
}

const row = (what: string, against: StackName, metric: 'p50' | 'p99', most?: number): Row => ({
  measure: `cross-node round trip, ${what}, ${metric}`,
  metric,
  unit: 'ms',
  subject: 'peerage',
  against,
  ...(most === undefined ? {} : { aim: { of: 'ratio', most } }),
})

const comparison = (id: string, what: string, load: RoundTripLoad, most: number): Comparison => ({
  id,
  title: `Cross-node round trip, ${what}`,
  load:
    `${load.pairs} pairs on two nodes, ${load.rate} requests/s open loop, each answered by its recipient; ` +
    `${BODY_BYTES}-byte bodies; timed from when a request was due until its answer arrives, so without ` +
    `coordinated omission; ${load.ms / 1000} s a round`,
  processes: 'kept',
  rounds: 7,
  contenders: STACKS.map((name) => contender(name, load)),
  rows: [row(what, PUBLISH, 'p50', most), row(what, PUBLISH, 'p99'), row(what, OFF, 'p50')],
})

export const roundTrip: readonly Comparison[] = [
  comparison('round-trip-1', '1 pair', { pairs: 1, rate: 100, ms: 5000 }, 0.9),
  comparison('round-trip-1000', '1,000 messages/s', { pairs: 50, rate: 1000, ms: 5000 }, 1.1),
]
