import { AFTER_LOSS_MS, type Cell, type Stage } from './cells.js'
import type { Participant } from './participants.js'
import { pathOf, urlOf } from './site.js'

let rooms = 0

/**
 * Members of a document or a room say words, and all must hear all. Resolves with the milliseconds from the first join to
 * the last word.
 */
export async function meet(cell: Cell, stage: Stage): Promise<number> {
  const { program, platforms, situation, password } = cell
  const { site } = stage
  const { nodes } = site
  const [first, second] = [urlOf(nodes[0], program), urlOf(nodes[1], program)]
  const room = `room-${++rooms}-${Math.random().toString(36).slice(2)}`
  const [a, b] = await Promise.all([stage.start(platforms[0]), stage.start(platforms[1])])
  const join = async (who: Participant, url: string, word: string): Promise<void> => {
    await who.ask('join', { url, room, ...(password !== undefined && { password }) })
    await who.ask('say', { words: [word] })
  }
  const startedAt = performance.now()
  const both = async (urlOfA: string, urlOfB: string): Promise<number> => {
    await join(a, urlOfA, 'a')
    await join(b, urlOfB, 'b')
    await sameWords([a, b], ['a', 'b'])
    return performance.now() - startedAt
  }
  switch (situation) {
    case 'reference server': {
      const url = await stage.reference()
      return both(url, url)
    }
    case 'one node':
      return both(first, first)
    case 'two nodes':
      return both(first, second)
    case 'two nodes at once':
      await Promise.all([join(a, first, 'a'), join(b, second, 'b')])
      await sameWords([a, b], ['a', 'b'])
      break
    case 'node killed':
    case 'node drained': {
      const lost = await site.another()
      const entrance = await stage.entrance(lost)
      const c = await stage.start(platforms[1])
      await both(`${entrance.url}${pathOf(program)}`, second)
      entrance.turnTo(nodes[0])
      const gone = situation === 'node killed' ? lost.kill() : lost.terminate()
      await join(c, second, 'c')
      // The channel to b lives on without the node.
      await a.ask('say', { words: ['after'] })
      await sameWords([a, b, c], ['a', 'b', 'c', 'after'])
      // It is not enough that b passes on what a says: a itself must be found again.
      await Promise.all([a, b, c].map((who) => who.ask('met', { count: 2 }, AFTER_LOSS_MS)))
      await gone
      break
    }
    case 'Redis failover':
    case 'Redis master killed': {
      await join(a, first, 'a')
      const failedOver = site.failover(situation === 'Redis failover' ? 'planned' : 'killed')
      await join(b, second, 'b')
      await sameWords([a, b], ['a', 'b'])
      const met = performance.now() - startedAt
      await failedOver
      return met
    }
  }
  return performance.now() - startedAt
}

async function sameWords(who: readonly Participant[], words: string[]): Promise<void> {
  const heard = await Promise.all(who.map((one) => one.ask('hear', { words }, AFTER_LOSS_MS)))
  if (new Set(heard).size !== 1)
    throw new Error(`they differ: ${heard.map((text) => JSON.stringify(text)).join(', ')}`)
}
