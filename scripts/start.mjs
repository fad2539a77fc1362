// npm start: installs what a node needs, builds, and runs one node, with all names in its memory unless --redis is given.
// What follows `--` goes to the node: npm start -- --port 9100 --redis redis://127.0.0.1:6379
import { spawn } from 'node:child_process'
import { build, install, requireNode, ROOT } from './lib.mjs'
import { refusesFlags, withoutDashes } from './npm-flags.mjs'

requireNode()
const right = withoutDashes(process.argv.slice(2), process.env)
if (right !== undefined) {
  console.error(`npm took these flags for its own. Write: npm start -- ${right}`)
  process.exit(2)
}
if (refusesFlags(process.argv.slice(2))) process.exit(2)
if (!(await install({ only: 'run' })) || !(await build())) process.exit(1)
console.log('\n▸ starting one node; Ctrl-C ends it')
const args = [`${ROOT}packages/server/bin/peerage.js`, 'serve', ...process.argv.slice(2)]
// The node writes to the terminal itself: it prints what to open when it is ready.
const node = spawn(process.execPath, args, { stdio: 'inherit' })
// Ctrl-C reaches the node itself, and this script waits for its drain. A terminal that closes ends the node, too: by
// itself, the node goes on after SIGHUP.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => signal !== 'SIGINT' && node.kill('SIGTERM'))
// The output of this script may be closed before the node ends.
process.stdout.on('error', () => {})
node.once('close', (code) => process.exit(code ?? 1))
