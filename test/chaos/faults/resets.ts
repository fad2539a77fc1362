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
import { redisProxyOf } from '../testbed.js'
import type { Fault, Context } from '../context.js'
import { heal, inject, isHealthy } from '../context.js'

const ROUNDS = 8
const DEADLINE_MS = 20_000

/** A node of the same cluster that refuses every connection. */
async function startGuarded(context: Context): Promise<Node> {
  const [member] = context.testbed.members
  if (!member) throw new Error('the testbed has no node')
  const { host, port } = redisProxyOf(member)
  return startNode({ redisUrl: `redis://${host}:${port}`, args: GUARDED_ARGS })
}

async function startStun(): Promise<{ child: Child; port: number }> {
  await ensureBuilt()
  const args = [PEERAGE_BIN, 'stun', '--port', '0', '--host', '127.0.0.1']
  const child = await startChild({ command: process.execPath, args })
  const port = await child.line((line) => /"port":(\d+)/.exec(line)?.[1], DEADLINE_MS)
  return { child, port: Number(port) }
}

/** Every reset of every kind of connection once, in an order from the seed. */
function round(context: Context, guarded: Node, stunPort: number): { port: number; reset: Reset }[] {
  const { members, haproxy } = context.testbed
  const at = (port: number, resets: readonly Reset[]) => resets.map((reset) => ({ port, reset }))
  // HAProxy itself answers bytes that are not HTTP.
  const throughBalancer = mainResets().filter(({ what }) => !what.includes('no HTTP'))
  const left = [
    ...members.flatMap(({ port, node }) => [
      ...at(port, mainResets()),
      ...at(Number(new URL(node.admin ?? '').port), adminResets()),
    ]),
    ...at(haproxy.port, throughBalancer),
    ...at(guarded.port, guardedResets('https://evil.example')),
    ...at(stunPort, stunResets()),
  ]
  return Array.from({ length: left.length }, () =>
    left.splice(context.random.between(0, left.length - 1), 1),
  ).flat()
}

export const resetFaults: readonly Fault[] = [
  {
    id: 'F26',
    title:
      'TCP resets at every stage of every kind of connection: upgrade, refusal, 101, mid-frame, HTTP, admin, STUN over TCP',
    // The processes that it starts first take their share of the machine.
    outageP99Ms: 3_000,
    noFailedSend: true,
    watchMs: 20_000,
    run: async (context) => {
      const guarded = await startGuarded(context)
      const giveBack = await holdPlace(guarded.url)
      const stun = await startStun()
      const ended: string[] = []
      const watch = (what: string, stopped: Promise<unknown>): void =>
        void stopped.then(() => ended.push(what))
      for (const { index, node } of context.testbed.members) watch(`node ${index}`, node.stopped)
      watch('the full node', guarded.stopped)
      watch('STUN', stun.child.stopped)
      try {
        let resets = 0
        await inject(context, 'F26', 'every entrance', async () => {
          for (let i = 0; i < ROUNDS; i++)
            for (const { port, reset } of round(context, guarded, stun.port)) {
              if (ended.length > 0) return
              await resetAt(port, reset)
              resets++
            }
        })
        await heal(context, 'F26', 'every entrance', () => {})
        context.note('connections reset', resets, { atLeast: 1_000 })
        context.note('processes ended', ended.length, { atMost: 0 })
        const healthy = await Promise.all([...context.testbed.members, guarded].map(isHealthy))
        context.note('nodes that answer', healthy.filter(Boolean).length, { atLeast: healthy.length })
      } finally {
        giveBack()
        await guarded.stop()
        await stun.child.stop()
      }
    },
  },
]
