import { fileURLToPath } from 'node:url'
import { PEERAGE_BIN } from '../../support/node.js'
import { startChild, type Child } from '../../support/process.js'
import type { Fault, Scene } from '../scene.js'
import { heal, inject, isHealthy } from '../scene.js'

const RESETS = fileURLToPath(new URL('../resets.mjs', import.meta.url))
const LASTS_MS = 8_000

interface Done {
  done: Record<string, number>
  refused: number
}

async function startStun(): Promise<{ child: Child; port: number }> {
  const args = [PEERAGE_BIN, 'stun', '--host', '127.0.0.1', '--port', '0']
  const child = await startChild({ command: process.execPath, args })
  const port = await child.line((line) => {
    const [, found] = /(?:127\.0\.0\.1:|"port":)(\d+)/u.exec(line) ?? []
    return found === undefined ? undefined : Number(found)
  }, 10_000)
  return { child, port }
}

async function resetAll(scene: Scene): Promise<void> {
  const { seats } = scene.stage
  const stun = await startStun()
  try {
    const admin = Number(new URL(seats[0]?.node.admin ?? '').port)
    const given = JSON.stringify({ ports: seats.map(({ port }) => port), admin, stun: stun.port })
    const before = seats.map(({ node }) => node.pid)
    const resets = await startChild({ command: process.execPath, args: [RESETS, String(LASTS_MS), given] })
    try {
      await inject(scene, 'F26', 'every entrance', () => {})
      const said = await resets.line((line) => (line.startsWith('{') ? line : undefined), 60_000)
      await heal(scene, 'F26', 'every entrance', () => {})
      const { done }: Done = JSON.parse(said)
      for (const [stage, times] of Object.entries(done))
        scene.note(`resets: ${stage}`, times, { atLeast: 10 })
      const healthy = await Promise.all(seats.map(isHealthy))
      scene.note('nodes that live', healthy.filter((one) => one).length, { atLeast: seats.length })
      const same = seats.filter(({ node }, i) => node.pid === before[i])
      scene.note('nodes that are still the same process', same.length, { atLeast: seats.length })
      scene.note('the STUN server lives', (await isUp(stun.child)) ? 1 : 0, { atLeast: 1 })
    } finally {
      await resets.stop()
    }
  } finally {
    await stun.child.stop()
  }
}

async function isUp(child: Child): Promise<boolean> {
  const ended = child.stopped.then(() => false)
  return Promise.race([ended, new Promise<boolean>((resolve) => setImmediate(() => resolve(true)))])
}

export const resetFaults: readonly Fault[] = [
  {
    id: 'F26',
    title: 'TCP resets at every stage of every entrance',
    outageP99Ms: 2_000,
    noFailedSend: true,
    watchMs: 15_000,
    stage: { args: ['--admin-port', '0'] },
    run: resetAll,
  },
]
