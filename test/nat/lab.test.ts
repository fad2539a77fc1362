import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { againWhenFrozen } from '@peerage/test-support/libdatachannel.js'
import { startNatLab, type NatKind, type NatLab } from '@peerage/test-support/nat-lab.js'
import { canUseNamespaces } from '@peerage/test-support/netns.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import { call, startCluster, type Result, type Cluster } from './lab-rig.js'

// Peers of the SDK behind every pair of NAT kinds, over two nodes on the public network. Needs root.

const namespaces = await canUseNamespaces()
if (!namespaces.ok) {
  process.stderr.write(`the NAT lab did not run: ${namespaces.reason} (to run all of it: npm run test:nat)\n`)
}

/** If STUN alone cannot work, the attempt may end before the SDK's own deadline. */
const HOPELESS_MS = 6_000
const SYMMETRIC_RUNS = 6

let redis: RedisServer
const table: string[] = []

beforeAll(async () => {
  if (namespaces.ok) redis = await startRedis()
})
afterAll(async () => {
  await redis?.stop()
  const head =
    '| NAT of the caller × of the called | servers | path | time | selected pair |\n|---|---|---|---|---|\n'
  if (table.length > 0) process.stdout.write(`\nThe NAT lab:\n\n${head}${table.join('\n')}\n\n`)
})

async function build(a: NatKind, b: NatKind, turn: boolean): Promise<{ lab: NatLab; cluster: Cluster }> {
  const lab = await startNatLab({ a, b })
  onTestFinished(() => lab.stop())
  await lab.pub.expose(redis.port)
  const cluster = await startCluster(lab, redis, turn)
  onTestFinished(() => cluster.stop())
  return { lab, cluster }
}

function note(kinds: string, turn: boolean, result: Result): void {
  const how =
    result.path === 'server'
      ? [`server (${result.stage})`, `gave up after ${result.ms} ms, then ${result.sendMs} ms`, '']
      : [result.path, `${result.ms} ms`, `${result.local.type} – ${result.remote.type}`]
  table.push(`| ${[kinds, turn ? 'STUN + coturn' : 'STUN', ...how].join(' | ')} |`)
}

const direct: [NatKind, NatKind][] = [
  ['port-restricted', 'port-restricted'],
  ['full-cone', 'symmetric'],
  ['symmetric', 'full-cone'],
  ['open', 'symmetric'],
]
const apart: [NatKind, NatKind][] = [
  ['port-restricted', 'symmetric'],
  ['symmetric', 'port-restricted'],
  ['symmetric', 'symmetric'],
]

describe.runIf(namespaces.ok)('peers of two nodes', () => {
  test.each(direct)('%s × %s: direct with STUN alone', async (a, b) => {
    const { lab, cluster } = await build(a, b, false)
    const result = await call(lab, cluster)
    note(`${a} × ${b}`, false, result)
    expect(result).toMatchObject({ path: 'direct' })
  })

  test.each(apart)(
    '%s × %s: no path with STUN alone, so the message goes through the server',
    async (a, b) => {
      const { lab, cluster } = await build(a, b, false)
      const result = await call(lab, cluster, HOPELESS_MS)
      note(`${a} × ${b}`, false, result)
      expect(result).toMatchObject({ path: 'server', stage: 'ice' })
    },
  )

  test.each(apart)(
    '%s × %s: relayed by coturn with the credentials of the welcome',
    againWhenFrozen,
    async (a, b) => {
      const { lab, cluster } = await build(a, b, true)
      const result = await call(lab, cluster)
      note(`${a} × ${b}`, true, result)
      expect(result).toMatchObject({ path: 'relayed' })
    },
  )

  // Usually direct. On a loaded machine the relay may answer before the NATs let the direct checks pass, and libjuice keeps
  // the pair that it nominated.
  test(
    'port-restricted × port-restricted with coturn: a channel, whichever path answers first',
    againWhenFrozen,
    async () => {
      const { lab, cluster } = await build('port-restricted', 'port-restricted', true)
      const result = await call(lab, cluster)
      note('port-restricted × port-restricted', true, result)
      expect(['direct', 'relayed']).toContain(result.path)
    },
  )

  // On a loaded machine, in one of six such runs, ICE connected on both sides but no channel opened. The SDK's watchdog and
  // its second attempt handle that.
  const often = { ...againWhenFrozen, timeout: 180_000 }
  test(`symmetric × symmetric: relayed, each of ${SYMMETRIC_RUNS} times`, often, async () => {
    const { lab, cluster } = await build('symmetric', 'symmetric', true)
    for (let run = 1; run <= SYMMETRIC_RUNS; run++) {
      const result = await call(lab, cluster)
      note(`symmetric × symmetric (run ${run})`, true, result)
      expect(result).toMatchObject({ path: 'relayed' })
    }
  })

  test('UDP blocked on one side: through the server, even with TURN', async () => {
    const { lab, cluster } = await build('udp-blocked', 'open', true)
    const result = await call(lab, cluster, HOPELESS_MS)
    note('udp-blocked × open', true, result)
    expect(result).toMatchObject({ path: 'server', stage: 'ice' })
  })
})
