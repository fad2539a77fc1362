// Runs the matrix of WebRTC stacks from its sources: no build of the tests is needed.
import { runnerImport } from 'vite'

const { module } = await runnerImport(new URL('../test/stacks/run.ts', import.meta.url).pathname, {
  configFile: false,
  logLevel: 'error',
  resolve: { conditions: ['@peerage/source', 'node'] },
  ssr: { resolve: { conditions: ['@peerage/source', 'node'] } },
})
process.exit(await module.main(process.argv.slice(2)))
