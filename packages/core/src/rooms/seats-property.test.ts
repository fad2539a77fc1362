import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Room } from '@peerage/protocol'
import { parseRoom } from '@peerage/protocol'
import type { Node } from '../node.js'
import { must } from '../testing/cluster.js'
import { cutOff, two } from '../testing/nodes.js'
import type { Arrival } from '../testing/peers.js'
import { arrive } from '../testing/peers.js'

const arena = must(parseRoom('arena'))
const PEERS = 12

type Step = { type: 'seat' | 'join' | 'confirm' | 'end'; peer: number } | { type: 'fault' }

const peer = fc.nat({ max: PEERS - 1 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ type: fc.constantFrom('seat', 'join', 'confirm', 'end'), peer }) },
  { weight: 1, arbitrary: fc.constant({ type: 'fault' as const }) },
)

/** What happens to the cluster in one run: it loses what the store holds, or a node. */
type Fault = 'flush' | 'kill'

interface Player {
  node: Node
  at: Arrival
  group: Room
  isConfirmed: boolean
}

/** Peers of two nodes that take seats, confirm them and go, in any order. */
class Game {
  readonly players = new Map<number, Player>()
  /** Groups all of whose members were there at once. */
  readonly met = new Set<Room>()
  readonly #seats: number
  readonly #made: Awaited<ReturnType<typeof two>>
  readonly #fault: Fault
  #serial = 0
  #isKilled = false

  constructor(seats: number, fault: Fault, made: Awaited<ReturnType<typeof two>>) {
    this.#seats = seats
    this.#fault = fault
    this.#made = made
  }

  async take(step: Step): Promise<void> {
    if (step.type === 'fault') return this.#fault === 'flush' ? this.#flush() : this.#kill()
    const player = this.players.get(step.peer)
    if (step.type === 'seat' && player === undefined) await this.seat(step.peer)
    else if (step.type === 'join' && player?.isConfirmed === false) await this.join(player)
    else if (step.type === 'confirm' && player?.isConfirmed === false) await this.confirm(player)
    else if (step.type === 'end' && player !== undefined) {
      this.players.delete(step.peer)
      await player.node.end(player.at.connection.id, 'left')
    }
  }

  async #flush(): Promise<void> {
    const { clock, cluster, times } = this.#made
    await clock.advance(100)
    cluster.flush()
    await clock.advance(times.beatMs)
  }

  /** Node b dies. Until the others know of it, peers of node a have long confirmed their seats. */
  async #kill(): Promise<void> {
    const { a, b, clock, cuts, times } = this.#made
    for (const player of this.players.values())
      if (player.node === a && !player.isConfirmed) await this.confirm(player)
    this.#isKilled = true
    cutOff(cuts, b, true)
    for (const [index, { node }] of this.players) if (node === b) this.players.delete(index)
    await clock.advance(times.nodeLeaseMs + times.beatMs)
  }

  async seat(index: number): Promise<Player> {
    const node = index % 2 === 0 || this.#isKilled ? this.#made.a : this.#made.b
    const at = await arrive(node, `p${this.#serial++}`, { wire: 'matchbox' })
    const group = await node.rooms.seat(at.session, arena, this.#seats)
    if (group === undefined) throw new Error('the connection has ended')
    const player = { node, at, group, isConfirmed: false }
    this.players.set(index, player)
    return player
  }

  async join({ node, at, group }: Player): Promise<void> {
    await node.rooms.join(at.session, group)
    await node.rooms.list(at.session, group)
  }

  async confirm(player: Player): Promise<void> {
    const { node, at } = player
    for (;;) {
      await this.join(player)
      if (await node.rooms.confirm(at.session)) break
      const next = await node.rooms.seat(at.session, arena, this.#seats)
      if (next === undefined) throw new Error('the connection has ended')
      if (next !== player.group) await node.rooms.part(at.session, player.group)
      player.group = next
    }
    player.isConfirmed = true
    const members = [...this.players.values()].filter((one) => one.isConfirmed && one.group === player.group)
    // A node may not know yet that a group has met when a member leaves it and the store then loses everything.
    if (this.#fault !== 'flush') expect(this.met.has(player.group)).toBe(false)
    expect(members.length).toBeLessThanOrEqual(this.#seats)
    if (members.length === this.#seats) this.met.add(player.group)
  }

  /** Peers that wait for others. */
  get waiting(): Player[] {
    return [...this.players.values()].filter(({ group }) => !this.met.has(group))
  }
}

const sizes = fc.integer({ min: 2, max: 4 })
const faults = fc.constantFrom<Fault[]>('flush', 'kill')

test('a group meets once, and nobody waits in a group that newcomers do not fill', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, faults, fc.array(step, { maxLength: 40 }), async (seats, fault, steps) => {
      const made = await two()
      const game = new Game(seats, fault, made)
      for (const one of steps) await game.take(one)
      for (const player of game.players.values()) if (!player.isConfirmed) await game.confirm(player)
      const mustMeet = game.waiting
      for (let i = 0; mustMeet.some(({ group }) => !game.met.has(group)); i++) {
        if (i > PEERS * seats) throw new Error('peers wait for ever')
        await game.confirm(await game.seat(PEERS + i))
      }
      await made.a.stop()
      await made.b.stop()
    }),
    { numRuns: 150 },
  )
})
