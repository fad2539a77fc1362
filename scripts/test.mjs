// npm test: installs if needed, builds, and runs every test: unit tests, and cluster tests with real programs (Redis,
// HAProxy, coturn, browsers, Python; each fixture says which one it found or installed). Arguments go to vitest. The
// container tests have a script of their own (scripts/containers.mjs).
import { build, conclude, install, requireNode, runTests } from './lib.mjs'

requireNode()
if (!(await install()) || !(await build())) conclude('test', { passed: 0, failed: 1 })
const args = process.argv.slice(2)
// A run of single files need not install the programs that only other files need.
const env = args.length === 0 ? { PEERAGE_TEST_WHOLE: '1' } : {}
conclude(
  'test',
  await runTests(
    'all tests (vitest; with real programs, some minutes)',
    'test',
    ['--project', '!containers', ...args],
    env,
  ),
)
