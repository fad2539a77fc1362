// npm run examples: installs and builds what is missing, then runs one node and a web server for the pages of examples/.
// Ctrl-C ends both.
import { spawn } from 'node:child_process'
import { bin, build, install, requireNode, ROOT } from './lib.mjs'

const NODE = [`${ROOT}packages/server/bin/peerage.js`, 'serve', '--y-webrtc', '--webtorrent']
const PAGES = [bin('vite/bin/vite.js'), 'examples']

requireNode()
if (!(await install()) || !(await build())) process.exit(1)
console.log('\n▸ starting one node and the pages of the examples; Ctrl-C ends both')
const children = [NODE, PAGES].map((args) => spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' }))
const end = () => children.forEach((child) => child.kill('SIGTERM'))
// Ctrl-C reaches the node and the web server themselves.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => signal !== 'SIGINT' && end())
// If one of them ends, the other one is of no use.
for (const child of children)
  child.once('close', (code) => {
    process.exitCode ??= code ?? 1
    end()
  })
