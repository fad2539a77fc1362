// npm run check: format, build, lint, types, unused code and unit tests, in about a minute. Each step counts as one check.
import { bin, conclude, install, requireNode, runTests, step } from './lib.mjs'

requireNode()
if (!(await install())) conclude('check', { passed: 0, failed: 1 })
const steps = [
  { what: 'format (oxfmt)', args: [bin('oxfmt/bin/oxfmt'), '--check'] },
  // Before the linter, which does not know the source condition and reads the packages' types from dist.
  { what: 'build (tsc)', args: [bin('typescript/bin/tsc'), '-b'] },
  { what: 'lint, with types (oxlint)', args: [bin('oxlint/bin/oxlint'), '--type-aware'] },
  { what: 'types (tsc)', args: [bin('typescript/bin/tsc'), '-p', 'tsconfig.check.json'] },
  { what: 'unused code (knip)', args: [bin('knip/bin/knip.js'), '--no-progress'] },
]
const result = { passed: 0, failed: 0 }
for (const { what, args } of steps) {
  const code = await step(what, process.execPath, args)
  if (code === 0) result.passed++
  else result.failed++
}
const tests = await runTests('unit tests (vitest)', 'check', ['--project', 'unit'])
conclude('check', { passed: result.passed + tests.passed, failed: result.failed + tests.failed })
