import { ensureBuilt, PEERAGE_BIN, startNode, type Node } from '@peerage/test-support/node.js'
import { startChild, type Child } from '@peerage/test-support/process.js'
import {
  GUARDED_ARGS,
  adminResets,
  guardedResets,
  holdPlace,
  mainResets,
  resetAt,
  stunResets,
  type Reset,
} from '@peerage/test-support/resets.js'
import { linkOf } from '../stage.js'
import type { Fault, Scene } from '../scene.js'
import { heal, inject, isHealthy } from '../scene.js'

const ROUNDS = 8
const DEADLINE_MS = 20_000

/** A node of the same cluster that refuses everybody. */
async function startGuarded(scene: Scene): Promise<Node> {
  const [seat] = scene.stage.seats
  if (!seat) throw new Error('the stage has no node')
  const { host, port } = linkOf(seat)
  return startNode({ redisUrl: `redis://${host}:${port}`, args: GUARDED_ARGS })
}

async function startStun(): Promise<{ child: Child; port: number }> {
  await ensureBuilt()
  const args = [PEERAGE_BIN, 'stun', '--port', '0', '--host', '127.0.0.1']
  const child = await startChild({ command: process.execPath, args })
  const port = await child.line((line) => /"port":(\d+)/.exec(line)?.[1], DEADLINE_MS)
  return { child, port: Number(port) }
}

/** Each entrance and each of its stages, once, in an order of the seed's. */
function round(scene: Scene, guarded: Node, stunPort: number): { port: number; reset: Reset }[] {
  const { seats, haproxy } = scene.stage
  const at = (port: number, resets: readonly Reset[]) => resets.map((reset) => ({ port, reset }))
  // HAProxy answers by itself what is no HTTP.
  const throughBalancer = mainResets().filter(({ what }) => !what.includes('no HTTP'))
  const left = [
    ...seats.flatMap(({ port, node }) => [
      ...at(port, mainResets()),
      ...at(Number(new URL(node.admin ?? '').port), adminResets()),
    ]),
    ...at(haproxy.port, throughBalancer),
    ...at(guarded.port, guardedResets('https://evil.example')),
    ...at(stunPort, stunResets()),
  ]
  return Array.from({ length: left.length }, () =>
    left.splice(scene.random.between(0, left.length - 1), 1),
  ).flat()
}

export const resetFaults: readonly Fault[] = [
  {
    id: 'F26',
    title:
      'TCP resets at every stage of every entrance: upgrade, refusal, 101, mid-frame, HTTP, admin, STUN over TCP',
    // The processes that it starts take their share of the machine first.
    outageP99Ms: 3_000,
    noFailedSend: true,
    watchMs: 20_000,
    run: async (scene) => {
      const guarded = await startGuarded(scene)
      const giveBack = await holdPlace(guarded.url)
      const stun = await startStun()
      const ended: string[] = []
      const watch = (what: string, stopped: Promise<unknown>): void =>
        void stopped.then(() => ended.push(what))
      for (const { index, node } of scene.stage.seats) watch(`node ${index}`, node.stopped)
      watch('the full node', guarded.stopped)
      watch('STUN', stun.child.stopped)
      try {
        let resets = 0
        await inject(scene, 'F26', 'every entrance', async () => {
          for (let i = 0; i < ROUNDS; i++)
            for (const { port, reset } of round(scene, guarded, stun.port)) {
              if (ended.length > 0) return
              await resetAt(port, reset)
              resets++
            }
        })
        await heal(scene, 'F26', 'every entrance', () => {})
        scene.note('connections reset', resets, { atLeast: 1_000 })
        scene.note('processes ended', ended.length, { atMost: 0 })
        const healthy = await Promise.all([...scene.stage.seats, guarded].map(isHealthy))
        scene.note('nodes that answer', healthy.filter(Boolean).length, { atLeast: healthy.length })
      } finally {
        giveBack()
        await guarded.stop()
        await stun.child.stop()
      }
    },
  },
]
