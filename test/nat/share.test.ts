import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { againWhenFrozen, unlessFrozen } from '@peerage/test-support/libdatachannel.js'
import { startNatLab, type Site } from '@peerage/test-support/nat-lab.js'
import { canUseNamespaces } from '@peerage/test-support/netns.js'
import { PEERAGE_BIN } from '@peerage/test-support/node.js'
import type { Child } from '@peerage/test-support/process.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startCluster } from './lab-rig.js'

// `peerage send` and `peerage receive` behind two symmetric NATs, between which no direct path exists. Needs root.

const namespaces = await canUseNamespaces()
if (!namespaces.ok) {
  process.stderr.write(
    `sharing behind NATs did not run: ${namespaces.reason} (to run all of it: npm run test:nat)\n`,
  )
}

const WITHIN_MS = 90_000
const MIB = 1024 * 1024
/** The lab, two nodes, coturn and two terminals start and stop within it. */
const options = { ...againWhenFrozen, timeout: 240_000 }

let redis: RedisServer
beforeAll(async () => {
  if (namespaces.ok) redis = await startRedis()
})
afterAll(() => redis?.stop())

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** The first event of `--json` of this kind, told already or later. */
const eventOf = (child: Child, event: string): Promise<Record<string, unknown>> =>
  child.line((line) => {
    const told = line.startsWith('{') ? (JSON.parse(line) as Record<string, unknown>) : undefined
    return told?.['event'] === event ? told : undefined
  }, WITHIN_MS)

/** Sends a file from site a to site b. Resolves with how it went: the paths of the receiver's connections. */
async function share(turn: boolean): Promise<string[]> {
  const lab = await startNatLab({ a: 'symmetric', b: 'symmetric' })
  onTestFinished(() => lab.stop())
  await lab.pub.expose(redis.port)
  const cluster = await startCluster(lab, redis, turn)
  onTestFinished(() => cluster.stop())
  const folder = await makeDirectory('nat-share')
  onTestFinished(() => removeDirectory(folder))
  const bytes = randomBytes(2 * MIB + 5)
  await writeFile(join(folder, 'file.bin'), bytes)
  const peerage = (site: Pick<Site, 'start'>, args: readonly string[]): Promise<Child> =>
    site.start({ command: process.execPath, args: [PEERAGE_BIN, ...args], cwd: folder })

  const from = ['--server', cluster.nodes[0].url]
  const sender = await peerage(lab.a, ['send', '--json', '--once', '--no-code', ...from, 'file.bin'])
  const { link } = await eventOf(sender, 'share')
  // The receiver is at the other node.
  const { search, hash } = new URL(String(link))
  const other = `${cluster.nodes[1].url}/${search}${hash}`
  const receiver = await peerage(lab.b, ['receive', '--json', '--yes', '--to', 'out', other])
  return unlessFrozen([sender, receiver], async () => {
    const [sent, received] = await Promise.all([sender.stopped, receiver.stopped])
    expect([sent.code, received.code], `${sender.output()}\n${receiver.output()}`).toEqual([0, 0])
    expect(sha256(await readFile(join(folder, 'out/file.bin')))).toBe(sha256(bytes))
    return receiver.lines
      .filter((line) => line.startsWith('{"event":"open"'))
      .map((line) => String((JSON.parse(line) as Record<string, unknown>)['path']))
  })
}

describe.runIf(namespaces.ok)('between two symmetric NATs', () => {
  test('[FT56] without TURN, a file goes through the server, and is whole', options, async () => {
    expect(await share(false)).toEqual(['server'])
  })

  test('[FT50] with TURN, a file goes through the relay, and is whole', options, async () => {
    expect((await share(true)).at(-1)).toBe('relayed')
  })
})
