// node scripts/run.mjs FOLDER …: runs test/FOLDER/run.ts from its sources, so no build of the tests is needed.
import { install, orRefuse, requireNode, ROOT } from './lib.mjs'

requireNode()
if (!(await install())) process.exit(1)
// vite can be imported only after the installation above.
const { runnerImport } = await import('vite')
const [folder, ...args] = process.argv.slice(2)
const { module } = await runnerImport(`${ROOT}test/${folder}/run.ts`, {
  configFile: false,
  logLevel: 'error',
  // Packages are used as built, except those for tests alone, which exist only as sources.
  environments: {
    inline: {
      resolve: { noExternal: [/^@peerage\/test-support/], conditions: ['@peerage/source'] },
    },
  },
})
if (args.includes('--help')) console.log(module.USAGE)
else process.exit(await orRefuse(module.USAGE, () => module.main(args)))
