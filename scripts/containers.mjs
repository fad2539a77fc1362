// npm run test:containers: runs the container tests (test/containers) with this machine's Docker engine, or with one that
// they start (Debian's). They need root. Where they cannot run, it says why, and counts no test. Arguments go to vitest.
import { build, conclude, install, requireNode, ROOT, runTests } from './lib.mjs'

requireNode()
if (!(await install()) || !(await build())) conclude('containers', { passed: 0, failed: 1 })
// vite can be imported only after the installation above.
const { runnerImport } = await import('vite')
const { module } = await runnerImport(`${ROOT}test/containers/engine.ts`, {
  configFile: false,
  logLevel: 'error',
  environments: {
    inline: { resolve: { noExternal: [/^@peerage\/test-support/], conditions: ['@peerage/source'] } },
  },
})
const reason = await module.whyNoEngine()
if (reason !== undefined) {
  console.log(`\nThe container tests did not run: ${reason}.`)
  conclude('containers', { passed: 0, failed: 0 })
}
const args = ['--project', 'containers', ...process.argv.slice(2)]
conclude('containers', await runTests('container tests (vitest; with a Docker engine)', 'containers', args))
