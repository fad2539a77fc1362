import type { FakeClock } from '@peerage/test-support/fake-clock.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Game } from '../../testing/matchbox-fixture.js'
import { enterNow, newPeer, offers, peerLeft, settle, told, two } from '../../testing/matchbox-fixture.js'
import { closeWires } from '../../testing/wire-fixture.js'

const steps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ type: fc.constant('enter' as const), onA: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('leave' as const), which: fc.nat(20) }) },
    { weight: 2, arbitrary: fc.constantFrom(...(['deaf', 'hears', 'flush', 'outage', 'wait'] as const)) },
  ),
  { minLength: 4, maxLength: 14 },
)

/** After a flush, a claim waits until all nodes have written their names back. */
async function whileTimePasses<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  const pending = new Set([work])
  void work.finally(() => pending.clear())
  while (pending.size > 0) await settle(clock)
  return work
}

test('[MB6] [MB7] [MB11] whatever happens, one of each pair is told once, and of whom it was told it learns the end once', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      const { clock, cluster, a, b, lossy } = await two()
      const all: Game[] = []
      const alive = new Set<Game>()
      for (const step of plan) {
        if (typeof step === 'object' && step.type === 'enter') {
          const game = await whileTimePasses(clock, enterNow(step.onA ? a : b))
          all.push(game)
          alive.add(game)
        } else if (typeof step === 'object') {
          const game = [...alive][step.which % Math.max(1, alive.size)]
          if (game !== undefined) alive.delete(game)
          await game?.peer.cut()
        } else if (step === 'deaf' || step === 'hears') lossy.isDeaf = step === 'deaf'
        else if (step === 'flush') cluster.flush()
        else if (step === 'wait') await settle(clock)
        else {
          cluster.setDown(true)
          cluster.setDown(false)
        }
        await clock.advance(7)
      }
      lossy.isDeaf = false
      await settle(clock)
      await clock.advance(200_000)
      await settle(clock)
      expect(new Set(offers([...alive]))).toEqual(new Set(alive.size > 1 ? [1] : []))
      for (const game of all) {
        expect(new Set(game.peer.frames).size).toBe(game.peer.frames.length)
        if (!alive.has(game)) continue
        for (const other of all)
          if (!alive.has(other) && told(game).includes(newPeer(other)))
            expect(told(game).indexOf(peerLeft(other))).toBeGreaterThan(told(game).indexOf(newPeer(other)))
        for (const other of alive) expect(told(game)).not.toContain(peerLeft(other))
      }
      await closeWires()
    }),
    { numRuns: 20 },
  )
}, 60_000)
