import type { Direction } from '@peerage/test-support/tcp-proxy.js'
import type { Fault, Context } from '../context.js'
import { victim, wait } from '../context.js'
import {
  disturb,
  eachLink,
  ends,
  disturbLinked,
  noteLinkedAgain,
  noteSwitched,
  SWITCHED_P99_MS,
  withLinks,
  type Disturbance,
} from './bad-links.js'

// Faults of a link between two nodes that are alive and have Redis.

/** A link without confirmations ends after about this time. */
const GIVEN_UP_MS = 500
const CUT_MS = 5_000

async function cutSilently(context: Context, id: string, direction: Direction): Promise<void> {
  const counted = await disturbLinked(context, {
    id,
    ms: CUT_MS,
    what: `every link, ${direction}`,
    begin: eachLink(context, (linkProxy) => linkProxy.drop(direction)),
  })
  noteSwitched(context, direction, counted)
  // Envelopes that arrived but were not confirmed are sent a second time.
  if (direction !== 'both')
    context.note(`envelopes that arrived twice (${direction})`, counted.repeated, { atLeast: 1 })
}

const cuts: readonly Fault[] = [
  {
    id: 'F28-oneway',
    title: 'links cut silently in one direction: from the dialling node, then to it',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 20_000,
    run: async (context) => {
      await cutSilently(context, 'F28-oneway', 'up')
      await cutSilently(context, 'F28-oneway', 'down')
      await noteLinkedAgain(context)
    },
  },
  {
    id: 'F28-cut',
    title: 'links cut silently in both directions',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 15_000,
    run: async (context) => {
      await cutSilently(context, 'F28-cut', 'both')
      await noteLinkedAgain(context)
    },
  },
  {
    id: 'F28-gone',
    title: 'links gone while Redis works: reset, and refused from then on',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 20_000,
    run: async (context) => {
      const counted = await disturbLinked(context, {
        id: 'F28-gone',
        ms: 10_000,
        what: 'every link',
        begin: eachLink(context, (linkProxy) => {
          linkProxy.refuse()
          linkProxy.reset()
        }),
      })
      noteSwitched(context, 'gone', counted)
      context.note('links that could not be opened meanwhile', counted.failures, { atLeast: 1 })
      await noteLinkedAgain(context)
    },
  },
]

const STOPS_MS = [700, 2_000, 6_000]
const DIRECTIONS = ['both', 'up', 'down'] as const
const STALLS = 15

/** The proxies stop reading. The bytes that they hold arrive later, when the sender has long used the other path. */
function stall(context: Context, ms: number, direction: Direction): Disturbance {
  return {
    id: 'F28-stall',
    what: `every link, ${direction}, ${ms} ms`,
    ms,
    begin: eachLink(context, (linkProxy) => linkProxy.hold(direction)),
  }
}

const stalls: readonly Fault[] = [
  {
    id: 'F28-stop',
    title: `the far node SIGSTOPped for ${STOPS_MS.join(', ')} ms: longer than links wait, shorter than its lease`,
    outageP99Ms: 10_000,
    watchMs: 30_000,
    run: async (context) => {
      let ended = 0
      for (const ms of STOPS_MS) {
        const member = victim(context)
        const counted = await disturbLinked(context, {
          id: 'F28-stop',
          ms,
          what: `node ${member.index}, ${ms} ms`,
          members: context.testbed.members.filter((other) => other !== member),
          begin: () => member.node.pause(),
          end: () => member.node.resume(),
        })
        ended += counted.unconfirmed
      }
      // A stop of 700 ms may end before any node has noticed it.
      context.note('links given up meanwhile', ended, { atLeast: 2 * (STOPS_MS.length - 1) })
      await noteLinkedAgain(context)
      const lapsed = context.testbed.members.filter(({ node }) =>
        node.logs().some(({ msg }) => msg === 'lapsed'),
      )
      context.note('nodes that lost their identity', lapsed.length, { atMost: 0 })
    },
  },
  {
    id: 'F28-stall',
    title:
      'a proxy between the nodes stops reading: in both directions, in one, and often for about as long as links wait',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 30_000,
    run: async (context) => {
      for (const direction of DIRECTIONS)
        noteSwitched(context, direction, await disturbLinked(context, stall(context, CUT_MS, direction)))
      let repeated = 0
      // A link that has ended often is not opened again at once, so some of these disturbances find no link.
      for (let i = 0; i < STALLS; i++) {
        const ms = context.random.between(GIVEN_UP_MS - 100, GIVEN_UP_MS + 300)
        repeated += (await disturb(context, stall(context, ms, context.random.pick(DIRECTIONS)))).repeated
        await wait(context.random.between(500, 2_000))
      }
      context.note('envelopes that arrived twice', repeated)
      await noteLinkedAgain(context)
    },
  },
  {
    id: 'F28-slow',
    title: 'links whose confirmations take about as long as links wait: 200 to 350 ms each way',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 35_000,
    run: async (context) => {
      const counted = await disturbLinked(context, {
        id: 'F28-slow',
        ms: 30_000,
        what: 'every link',
        begin: eachLink(context, (linkProxy) => linkProxy.delay(200, { jitterMs: 150 })),
      })
      context.note('envelopes over slow links', counted.link, { atLeast: 20 })
      context.note('slow links given up', counted.unconfirmed, { atLeast: 1 })
      context.note('envelopes that arrived twice', counted.repeated, { atLeast: 1 })
      await noteLinkedAgain(context)
    },
  },
  {
    id: 'F28-flap',
    title: 'links that are reset every 300 ms',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 30_000,
    run: async (context) => {
      let timer: NodeJS.Timeout | undefined
      const counted = await disturbLinked(context, {
        id: 'F28-flap',
        ms: 20_000,
        what: 'every link',
        begin: () => {
          timer = setInterval(
            eachLink(context, (linkProxy) => linkProxy.reset()),
            300,
          )
        },
        end: () => clearInterval(timer),
      })
      noteSwitched(context, 'flapping', counted, 2 * ends(context))
      context.note('links opened meanwhile', counted.ups, { atLeast: ends(context) })
      await noteLinkedAgain(context)
    },
  },
]

export const linkPathFaults = withLinks([...cuts, ...stalls])
