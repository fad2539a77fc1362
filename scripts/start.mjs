// npm start: installs if needed, builds, and runs one node with the embedded registry.
// What follows `--` goes to the node: npm start -- --port 9100 --redis redis://127.0.0.1:6379
import { spawn } from 'node:child_process'
import { build, install, requireNode, ROOT } from './lib.mjs'

requireNode()
if (!(await install()) || !(await build())) process.exit(1)
console.log('\n▸ starting one node; Ctrl-C ends it')
const args = [`${ROOT}packages/server/bin/peerage.js`, 'serve', ...process.argv.slice(2)]
const node = spawn(process.execPath, args, { stdio: ['inherit', 'pipe', 'inherit'] })
// A Ctrl-C reaches the node itself too; this script waits for its drain.
for (const signal of ['SIGINT', 'SIGTERM'])
  process.on(signal, () => signal === 'SIGTERM' && node.kill(signal))
// Whoever read has had enough: the node serves on, and this script still ends it.
process.stdout.on('error', () => {})
node.stdout.on('data', (chunk) => {
  process.stdout.write(chunk)
  const url = /"url":"([^"]+)".*"msg":"ready"/.exec(String(chunk))?.[1]
  if (url !== undefined) console.log(`\nPeerage is ready. Open ${url} in two browser tabs.\n`)
})
node.once('close', (code) => process.exit(code ?? 1))
