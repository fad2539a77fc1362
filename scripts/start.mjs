// npm start: installs what a node needs, builds, and runs one node with the embedded registry.
// What follows `--` goes to the node: npm start -- --port 9100 --redis redis://127.0.0.1:6379
import { spawn } from 'node:child_process'
import { build, install, requireNode, ROOT } from './lib.mjs'
import { withoutDashes } from './npm-flags.mjs'

requireNode()
const right = withoutDashes(process.argv.slice(2), process.env)
if (right !== undefined) {
  console.error(`npm took these flags for its own. Write: npm start -- ${right}`)
  process.exit(2)
}
if (!(await install({ only: 'run' })) || !(await build())) process.exit(1)
console.log('\n▸ starting one node; Ctrl-C ends it')
const args = [`${ROOT}packages/server/bin/peerage.js`, 'serve', ...process.argv.slice(2)]
const node = spawn(process.execPath, args, { stdio: ['inherit', 'pipe', 'inherit'] })
// A Ctrl-C reaches the node itself too; this script waits for its drain. A terminal that is closed ends it as well: the
// node by itself would go on after SIGHUP.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => signal !== 'SIGINT' && node.kill('SIGTERM'))
// Whoever read has had enough: the node serves on, and this script still ends it.
process.stdout.on('error', () => {})
node.stdout.on('data', (chunk) => {
  process.stdout.write(chunk)
  const url = /"url":"([^"]+)".*"msg":"ready"/.exec(String(chunk))?.[1]
  if (url !== undefined)
    console.log(
      `\nPeerage is ready. Open ${url} in a browser, and the link that the page shows in another tab.\n`,
    )
})
node.once('close', (code) => process.exit(code ?? 1))
