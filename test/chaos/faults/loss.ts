import { run } from '@peerage/test-support/process.js'

const TABLE = ['inet', 'peerage_chaos'] as const

/** Drops this percentage of the packets from and to these ports, on this machine's loopback. Needs root. */
export async function lose(ports: readonly number[], percent: number): Promise<void> {
  await run('nft', ['add', 'table', ...TABLE])
  await run('nft', ['add', 'chain', ...TABLE, 'loss', '{ type filter hook input priority 0; }'])
  const set = `{ ${ports.join(', ')} }`
  // For 100 per cent the rule has no random condition.
  const chance = percent >= 100 ? [] : `numgen random mod 100 < ${percent}`.split(' ')
  for (const side of ['dport', 'sport'])
    await run('nft', ['add', 'rule', ...TABLE, 'loss', 'iifname', 'lo', 'tcp', side, set, ...chance, 'drop'])
}

export async function loseNothing(): Promise<void> {
  await run('nft', ['delete', 'table', ...TABLE])
}
