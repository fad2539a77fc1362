// npm run build: installs if needed, compiles every package, builds the page and the SDK as one file.
// --no-install takes the packages as they are: the Dockerfile installs them itself.
import { build, install, requireNode } from './lib.mjs'

requireNode()
const isReady = process.argv.includes('--no-install') || (await install({ only: 'run' }))
process.exit(isReady && (await build()) ? 0 : 1)
