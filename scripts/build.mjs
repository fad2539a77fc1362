// npm run build: installs if needed, compiles every package, builds the page.
import { build, install, requireNode } from './lib.mjs'

requireNode()
process.exit((await install()) && (await build()) ? 0 : 1)
