import type { Cell, Stage } from './cells.js'
import { startEntrance } from './entrance.js'
import { meet } from './meet.js'
import type { Participant, Participants } from './participants.js'
import { startReference } from './references.js'
import type { Site } from './site.js'
import { transfer } from './transfer.js'

const STATE_MS = 2_000

/** Runs one cell with new participants. Resolves with the milliseconds until all had met. Rejects with what was missed. */
export async function runCell(cell: Cell, parts: { site: Site; people: Participants }): Promise<number> {
  const { program, platforms, situation } = cell
  const started: Participant[] = []
  const servers: { stop(): Promise<void> }[] = []
  const stage: Stage = {
    site: parts.site,
    start: async (platform) => {
      const participant = await parts.people.start(platform, program)
      started.push(participant)
      return participant
    },
    entrance: async (node) => {
      const entrance = await startEntrance(node)
      servers.push(entrance)
      return entrance
    },
    reference: async () => {
      const reference = await startReference(program)
      servers.push(reference)
      return reference.url
    },
  }
  try {
    return await (program === 'webtorrent' ? transfer : meet)(cell, stage)
  } catch (error) {
    const states = await Promise.all(started.map((one) => one.ask('state', {}, STATE_MS).catch(String)))
    const lines = [String(error), ...states.map((state) => JSON.stringify(state))]
    throw new Error(`${program}, ${platforms.join(' and ')}, ${situation}: ${lines.join('\n')}`, {
      cause: error,
    })
  } finally {
    await Promise.all([...started, ...servers].map((each) => each.stop()))
  }
}
