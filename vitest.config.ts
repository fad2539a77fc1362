import { defineConfig } from 'vitest/config'

// Tests run on the sources: the condition leads every @peerage/* import to src.
const conditions = ['@peerage/source', 'module', 'node', 'development|production']
const shared = {
  resolve: { conditions },
  ssr: { resolve: { conditions } },
}

export default defineConfig({
  ...shared,
  test: {
    projects: [
      {
        ...shared,
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'packages/*/src/**/*.test.tsx'],
          testTimeout: 10_000,
        },
      },
      {
        ...shared,
        test: {
          name: 'real',
          include: ['test/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          // Real processes share two cores: one file at a time keeps their times honest.
          fileParallelism: false,
          pool: 'forks',
        },
      },
    ],
  },
})
