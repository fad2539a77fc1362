import { findTool } from '@peerage/test-support/binary.js'
import { run } from '@peerage/test-support/process.js'
import type { Container } from '../containers/container.js'

/** Which packets of a container are lost. */
export interface Loss {
  /** The address at the other side; all addresses if absent. */
  address?: string
  /** `out`: those that the container sends. `in`: those that it is sent. */
  direction: 'in' | 'out' | 'both'
  /** Of a hundred packets; by default all. */
  percent?: number
  /** Answers with a TCP reset instead of silence. */
  reset?: boolean
}

/** Packets that are being lost. */
export interface Lossy {
  /** How many packets were lost so far. */
  counted(): Promise<number>
  heal(): Promise<void>
}

const TABLE = 'inet peerage_chaos'
const NSENTER = { name: 'nsenter', binaries: ['nsenter'], debianPackage: 'util-linux' }
const NFT = { name: 'nftables', binaries: ['nft'], debianPackage: 'nftables' }

/**
 * Loses packets in a container's own network, by nftables there: no program inside notices, and no other container is
 * touched. Needs root.
 */
export async function lose(container: Container, loss: Loss): Promise<Lossy> {
  const { path: nsenter } = await findTool(NSENTER)
  const { path: nft } = await findTool(NFT)
  const pid = String(await container.pid())
  const rules = (...args: readonly string[]): Promise<string> => run(nsenter, ['-t', pid, '-n', nft, ...args])
  await rules(`add table ${TABLE}; ${chain('in', loss)} ${chain('out', loss)}`)
  return {
    counted: async () => {
      const listed = await rules('list', 'table', ...TABLE.split(' '))
      return [...listed.matchAll(/counter packets (\d+)/g)].reduce(
        (sum, [, packets]) => sum + Number(packets),
        0,
      )
    },
    heal: async () => void (await rules('delete', 'table', ...TABLE.split(' '))),
  }
}

function chain(direction: 'in' | 'out', loss: Loss): string {
  const hook = direction === 'in' ? 'input' : 'output'
  const begin = `add chain ${TABLE} ${direction} { type filter hook ${hook} priority 0; };`
  if (loss.direction !== 'both' && loss.direction !== direction) return begin
  const address =
    loss.address === undefined ? '' : `ip ${direction === 'in' ? 'saddr' : 'daddr'} ${loss.address}`
  const chance = loss.percent === undefined ? '' : `numgen random mod 100 < ${loss.percent}`
  // The kernel sends its reset through these chains, too, and must not answer it with silence.
  const tcp = loss.reset === true ? 'tcp flags & rst == 0' : ''
  const matches = [tcp, address, chance].filter(Boolean).join(' ')
  const verdict = loss.reset === true ? 'reject with tcp reset' : 'drop'
  return `${begin} add rule ${TABLE} ${direction} ${matches} counter ${verdict};`
}
