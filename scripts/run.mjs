// node scripts/run.mjs FOLDER …: runs test/FOLDER/run.ts from its sources, so no build of the tests is needed.
import { install, orRefuse, requireNode, ROOT } from './lib.mjs'

requireNode()
if (!(await install())) process.exit(1)
// It comes with the installation.
const { runnerImport } = await import('vite')
const [folder, ...args] = process.argv.slice(2)
const { module } = await runnerImport(`${ROOT}test/${folder}/run.ts`, {
  configFile: false,
  logLevel: 'error',
  // The packages are taken as they are built; what is for tests alone has sources only.
  environments: {
    inline: {
      resolve: { noExternal: [/^@peerage\/test-support/], conditions: ['@peerage/source'] },
    },
  },
})
if (args.includes('--help')) console.log(module.USAGE)
else process.exit(await orRefuse(module.USAGE, () => module.main(args)))
