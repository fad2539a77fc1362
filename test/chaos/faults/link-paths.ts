import type { Direction } from '@peerage/test-support/tcp-proxy.js'
import type { Fault, Scene } from '../scene.js'
import { victim, wait } from '../scene.js'
import { doorsOf } from '../stage.js'
import {
  disturb,
  ends,
  goBad,
  noteLinkedAgain,
  noteSwitched,
  SWITCHED_P99_MS,
  type Bad,
} from './bad-links.js'

// What can become of a link between two nodes that live, and have Redis.

/** A link that confirms nothing ends after about this. */
const GIVEN_UP_MS = 500
const CUT_MS = 5_000

async function cutSilently(scene: Scene, id: string, direction: Direction): Promise<void> {
  const doors = doorsOf(scene.stage)
  const counted = await goBad(scene, {
    id,
    ms: CUT_MS,
    what: `every link, ${direction}`,
    begin: () => doors.forEach((door) => door.drop(direction)),
    end: () => doors.forEach((door) => door.heal()),
  })
  noteSwitched(scene, direction, counted)
  // What did arrive, and was not confirmed, comes a second time.
  if (direction !== 'both')
    scene.note(`envelopes that came twice (${direction})`, counted.repeated, { atLeast: 1 })
}

const cuts: readonly Fault[] = [
  {
    id: 'F28-oneway',
    title: 'links cut one way, without a word: from the dialling node, then to it',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 20_000,
    run: async (scene) => {
      await cutSilently(scene, 'F28-oneway', 'up')
      await cutSilently(scene, 'F28-oneway', 'down')
      await noteLinkedAgain(scene)
    },
  },
  {
    id: 'F28-cut',
    title: 'links cut both ways, without a word',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 15_000,
    run: async (scene) => {
      await cutSilently(scene, 'F28-cut', 'both')
      await noteLinkedAgain(scene)
    },
  },
  {
    id: 'F28-gone',
    title: 'links gone while Redis lives: reset, and refused from then on',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 20_000,
    run: async (scene) => {
      const doors = doorsOf(scene.stage)
      const counted = await goBad(scene, {
        id: 'F28-gone',
        ms: 10_000,
        what: 'every link',
        begin: () => doors.forEach((door) => [door.refuse(), door.reset()]),
        end: () => doors.forEach((door) => door.accept()),
      })
      noteSwitched(scene, 'gone', counted)
      scene.note('links that could not be made meanwhile', counted.failures, { atLeast: 1 })
      await noteLinkedAgain(scene)
    },
  },
]

const STOPS_MS = [700, 2_000, 6_000]
const DIRECTIONS = ['both', 'up', 'down'] as const
const STALLS = 15

/** The doors stop reading. What they have kept back arrives later, when its sender has taken the other path long ago. */
function stall(scene: Scene, ms: number, direction: Direction): Bad {
  const doors = doorsOf(scene.stage)
  return {
    id: 'F28-stall',
    what: `every link, ${direction}, ${ms} ms`,
    ms,
    begin: () => doors.forEach((door) => door.hold(direction)),
    end: () => doors.forEach((door) => door.heal()),
  }
}

const stalls: readonly Fault[] = [
  {
    id: 'F28-stop',
    title: `the far node SIGSTOPped for ${STOPS_MS.join(', ')} ms: longer than links wait, shorter than its lease`,
    outageP99Ms: 10_000,
    watchMs: 30_000,
    run: async (scene) => {
      let ended = 0
      for (const ms of STOPS_MS) {
        const seat = victim(scene)
        const counted = await goBad(scene, {
          id: 'F28-stop',
          ms,
          what: `node ${seat.index}, ${ms} ms`,
          seats: scene.stage.seats.filter((other) => other !== seat),
          begin: () => seat.node.pause(),
          end: () => seat.node.resume(),
        })
        ended += counted.unconfirmed
      }
      // A stop of 700 ms may be over before anybody has noticed.
      scene.note('links given up meanwhile', ended, { atLeast: 2 * (STOPS_MS.length - 1) })
      await noteLinkedAgain(scene)
      const lapsed = scene.stage.seats.filter(({ node }) => node.logs().some(({ msg }) => msg === 'lapsed'))
      scene.note('nodes that lost their identity', lapsed.length, { atMost: 0 })
    },
  },
  {
    id: 'F28-stall',
    title:
      'a proxy between the nodes that stops reading: both ways, one way, and often for about as long as links wait',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 30_000,
    run: async (scene) => {
      for (const direction of DIRECTIONS)
        noteSwitched(scene, direction, await goBad(scene, stall(scene, CUT_MS, direction)))
      let repeated = 0
      // A link that has ended often is not made again at once: of these, some find none.
      for (let i = 0; i < STALLS; i++) {
        const ms = scene.random.between(GIVEN_UP_MS - 100, GIVEN_UP_MS + 300)
        repeated += (await disturb(scene, stall(scene, ms, scene.random.pick(DIRECTIONS)))).repeated
        await wait(scene.random.between(500, 2_000))
      }
      scene.note('envelopes that came twice', repeated)
      await noteLinkedAgain(scene)
    },
  },
  {
    id: 'F28-slow',
    title: 'links whose confirmations take about as long as links wait: 200 to 350 ms each way',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 35_000,
    run: async (scene) => {
      const doors = doorsOf(scene.stage)
      const counted = await goBad(scene, {
        id: 'F28-slow',
        ms: 30_000,
        what: 'every link',
        begin: () => doors.forEach((door) => door.delay(200, { jitterMs: 150 })),
        end: () => doors.forEach((door) => door.heal()),
      })
      scene.note('envelopes over slow links', counted.link, { atLeast: 20 })
      scene.note('slow links given up', counted.unconfirmed, { atLeast: 1 })
      scene.note('envelopes that came twice', counted.repeated, { atLeast: 1 })
      await noteLinkedAgain(scene)
    },
  },
  {
    id: 'F28-flap',
    title: 'links that are reset every 300 ms',
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 30_000,
    run: async (scene) => {
      const doors = doorsOf(scene.stage)
      let timer: NodeJS.Timeout | undefined
      const counted = await goBad(scene, {
        id: 'F28-flap',
        ms: 20_000,
        what: 'every link',
        begin: () => {
          timer = setInterval(() => doors.forEach((door) => door.reset()), 300)
        },
        end: () => clearInterval(timer),
      })
      noteSwitched(scene, 'flapping', counted, 2 * ends(scene))
      scene.note('links made meanwhile', counted.ups, { atLeast: ends(scene) })
      await noteLinkedAgain(scene)
    },
  },
]

export const linkPathFaults: readonly Fault[] = [...cuts, ...stalls].map((fault) => ({
  ...fault,
  links: true,
}))
