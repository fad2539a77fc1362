// npm test: installs if needed, builds, and runs every test: units, and the cluster with real parts (Redis, HAProxy,
// coturn, browsers, Python; each test fixture says which it found or installed). What follows `--` goes to vitest.
import { build, conclude, install, requireNode, runTests } from './lib.mjs'

requireNode()
if (!(await install()) || !(await build())) conclude('test', { passed: 0, failed: 1 })
const args = process.argv.slice(2)
// Who asks for one file need not wait for what others need.
const env = args.length === 0 ? { PEERAGE_TEST_WHOLE: '1' } : {}
conclude('test', await runTests('all tests (vitest; real parts take some minutes)', 'test', args, env))
