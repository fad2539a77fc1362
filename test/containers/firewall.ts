import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { z } from 'zod'
import { findTool } from '../support/binary.js'

const execute = promisify(execFile)
const FORWARDING = '/proc/sys/net/ipv4/ip_forward'
/** Rules and chains that a Docker engine adds. */
const OF_DOCKER = /\bDOCKER\b|\bDOCKER-|\bdocker0\b/
const TABLES = ['filter', 'nat']

const noteSchema = z.object({ policy: z.array(z.string()), forwarding: z.string(), hadDocker: z.boolean() })

/**
 * Notes what a Docker engine changes in this machine's network when it starts. The result undoes these changes after the
 * engine has ended: its rules and chains, its bridge, the forwarding of packets, and the policy for forwarded packets.
 * If the machine had rules of a Docker engine before, they stay. The note is a file, so that after a run that was killed
 * the next one undoes the changes of both.
 */
export async function keepFirewall(note: string): Promise<() => Promise<void>> {
  const { path: iptables } = await findTool({
    name: 'iptables',
    binaries: ['iptables'],
    debianPackage: 'iptables',
  })
  const rules = async (table: string): Promise<string[]> =>
    (await execute(iptables, ['-w', '-t', table, '-S'])).stdout.trim().split('\n')
  const change = (table: string, ...args: string[]): Promise<unknown> =>
    execute(iptables, ['-w', '-t', table, ...args])

  if (!existsSync(note)) {
    const before = await rules('filter')
    const policy = before.find((rule) => rule.startsWith('-P FORWARD')) ?? '-P FORWARD ACCEPT'
    const forwarding = await readFile(FORWARDING, 'utf8')
    const hadDocker = before.some((rule) => OF_DOCKER.test(rule))
    await writeFile(note, JSON.stringify({ policy: policy.split(' '), forwarding, hadDocker }))
  }
  const { policy, forwarding, hadDocker } = noteSchema.parse(JSON.parse(await readFile(note, 'utf8')))

  return async () => {
    await change('filter', ...policy)
    await writeFile(FORWARDING, forwarding)
    if (!hadDocker) await removeDocker(rules, change)
    await rm(note)
  }
}

async function removeDocker(
  rules: (table: string) => Promise<string[]>,
  change: (table: string, ...args: string[]) => Promise<unknown>,
): Promise<void> {
  for (const table of TABLES) {
    const present = (await rules(table)).filter((rule) => OF_DOCKER.test(rule))
    for (const rule of present.filter((line) => line.startsWith('-A')))
      await change(table, '-D', ...rule.split(' ').slice(1))
    for (const chain of present.filter((line) => line.startsWith('-N')))
      await change(table, '-X', ...chain.split(' ').slice(1))
  }
  await execute('ip', ['link', 'delete', 'docker0']).catch(() => undefined) // it is gone already
}
