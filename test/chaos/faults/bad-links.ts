import type { LinkReading } from '../links.js'
import { noteLinked, untilLinked, watchLinks } from '../links.js'
import type { Scene } from '../scene.js'
import { heal, inject, wait } from '../scene.js'
import type { Seat } from '../stage.js'

export interface Bad {
  id: string
  /** Which links, and how they are bad: for the history. */
  what: string
  ms: number
  /** Of whom the counters are read: nodes that can answer, and stay the same processes. All of them when absent. */
  seats?: readonly Seat[]
  begin: () => Promise<void> | void
  end: () => Promise<void> | void
}

export async function goBad(scene: Scene, bad: Bad): Promise<LinkReading> {
  await noteLinked(scene)
  return disturb(scene, bad)
}

/** The same, whether or not there are links. */
export async function disturb(scene: Scene, { id, what, ms, seats, begin, end }: Bad): Promise<LinkReading> {
  const seen = await watchLinks(seats ?? scene.stage.seats)
  await inject(scene, id, what, begin)
  await wait(ms)
  const counted = await seen()
  await heal(scene, id, what, end)
  return counted
}

/** Both ends of so many links gave them up, and what went to the other nodes took the inbox. */
export function noteSwitched(
  scene: Scene,
  what: string,
  { downs, inbox }: LinkReading,
  atLeast = ends(scene),
): void {
  scene.note(`links that ended (${what})`, downs, { atLeast })
  scene.note(`envelopes by the inbox instead (${what})`, inbox, { atLeast: 20 })
}

export async function noteLinkedAgain(scene: Scene): Promise<void> {
  scene.note('all nodes linked again after ms', await untilLinked(scene.stage), { atMost: 60_000 })
}

/** Links between all nodes, each counted at both of its ends. */
export const ends = ({ stage }: Scene): number => stage.seats.length * (stage.seats.length - 1)

/** A link that confirms nothing ends after half a second, and what it left comes by the inbox. */
export const SWITCHED_P99_MS = 3_000
