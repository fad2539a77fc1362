// Embeds a node in applications of other frameworks, installed from npm, and uses both. Writes docs/frameworks.md.
import { runnerImport } from 'vite'
import { build, install, requireNode } from './lib.mjs'

requireNode()
if (!(await install()) || !(await build())) process.exit(1)
const { module } = await runnerImport(new URL('../test/frameworks/run.ts', import.meta.url).pathname, {
  configFile: false,
  logLevel: 'error',
  resolve: { conditions: ['@peerage/source', 'node'] },
  ssr: { resolve: { conditions: ['@peerage/source', 'node'] } },
})
process.exit(await module.main(process.argv.slice(2)))
