// npm run check: format, lint, types, unused code and unit tests, in about a minute. Each step counts as one check.
import { bin, conclude, install, requireNode, runTests, step } from './lib.mjs'

requireNode()
await install()
const steps = [
  ['format (oxfmt)', bin('oxfmt/bin/oxfmt'), ['--check']],
  ['lint, with types (oxlint)', bin('oxlint/bin/oxlint'), ['--type-aware']],
  ['types (tsc)', bin('typescript/bin/tsc'), ['-p', 'tsconfig.check.json']],
  ['unused code (knip)', bin('knip/bin/knip.js'), ['--no-progress']],
]
const result = { passed: 0, failed: 0 }
for (const [what, program, args] of steps) {
  const code = await step(what, process.execPath, [program, ...args])
  if (code === 0) result.passed++
  else result.failed++
}
const tests = await runTests('unit tests (vitest)', 'check', ['--project', 'unit'])
conclude('check', { passed: result.passed + tests.passed, failed: result.failed + tests.failed })
