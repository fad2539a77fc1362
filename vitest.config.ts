import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

// Tests run on the sources: the condition leads every @peerage/* import to src.
const conditions = ['@peerage/source', 'module', 'node', 'development|production']
const shared = {
  resolve: { conditions },
  ssr: { resolve: { conditions } },
}
const seed = 'test/support/seed.ts'
// What is waited for takes a moment; on a machine on which others run too, sometimes seconds.
const expectation = { poll: { timeout: 8_000 } }

const real = {
  globalSetup: 'test/support/prepare.ts',
  testTimeout: 60_000,
  expect: expectation,
  setupFiles: [seed],
  hookTimeout: 120_000,
  pool: 'forks' as const,
}

/**
 * These flood the nodes that they watch, or fill all cores: each has the machine for itself. Files that only measure
 * what their own process holds, or ask of a quick bench whether it runs, are not among them.
 */
const alone = ['test/attack/attack.test.ts', 'test/chaos/chaos.test.ts', 'test/nat/stun-fuzz.test.ts']

/** These need a Docker engine: `npm run test:containers`. */
const contained = ['test/containers/**/*.test.ts']

/** Half a minute and more. */
const long = [
  'test/bench/bench.test.ts',
  'test/cluster/anonymous-rooms.test.ts',
  'test/cluster/api-lists-after-faults.test.ts',
  'test/cluster/channel-ends.test.ts',
  'test/cluster/leaks.test.ts',
  'test/cluster/redis-contracts-cluster.test.ts',
  'test/cluster/redis-contracts-sentinel.test.ts',
  'test/cluster/redis-contracts-standalone.test.ts',
  'test/cluster/redis-failover.test.ts',
  'test/cluster/redis-faults.test.ts',
  'test/interop/peerjs-cluster.test.ts',
  'test/nat/lab.test.ts',
]

/** Of those that run side by side, the long ones begin: at the end they would run on alone. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId, project }: TestSpecification): number =>
      2 * project.config.sequence.groupOrder + (long.some((path) => moduleId.endsWith(path)) ? 0 : 1)
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig({
  ...shared,
  test: {
    sequence: { sequencer: LongFirst },
    projects: [
      {
        ...shared,
        test: {
          name: 'unit',
          include: [
            'packages/*/src/**/*.test.ts',
            'packages/*/src/**/*.test.tsx',
            'docs/*.test.ts',
            'scripts/*.test.ts',
          ],
          testTimeout: 10_000,
          expect: expectation,
          setupFiles: [seed],
          // They wait more than they compute, and loading what they share takes longer than most of them run: so there
          // are two workers on two cores too (vitest would take one), and what is loaded stays for the next file.
          maxWorkers: Math.max(2, availableParallelism() - 1),
          isolate: false,
          sequence: { groupOrder: 0 },
        },
      },
      {
        ...shared,
        test: {
          ...real,
          name: 'real',
          include: ['test/**/*.test.ts'],
          exclude: [...alone, ...contained],
          // Real processes, which wait far more than they compute: a quarter of a core a file.
          maxWorkers: 4,
          sequence: { groupOrder: 1 },
        },
      },
      {
        ...shared,
        test: {
          ...real,
          name: 'real-alone',
          include: alone,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
      {
        ...shared,
        test: {
          ...real,
          name: 'containers',
          globalSetup: [real.globalSetup, 'test/containers/prepare.ts'],
          // The fixtures of Redis, too: here they take the path through the engine.
          include: [
            ...contained,
            'test/cluster/redis-contracts-*.test.ts',
            'test/support/haproxy.test.ts',
            'test/support/coturn.test.ts',
            'test/support/redis.test.ts',
            'test/support/redis-topologies.test.ts',
          ],
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
})
