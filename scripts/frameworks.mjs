// npm run test:frameworks: real frameworks, each with a node on its HTTP server, attached before and after the framework's
// own WebSockets. Installs pinned versions in a folder of its own, outside of this repository. What follows `--` names some.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT, build, conclude, install, requireNode, step } from './lib.mjs'

const PACKAGES = {
  '@fastify/websocket': '11.3.7',
  '@hapi/hapi': '21.4.10',
  express: '5.3.0',
  'express-ws': '5.0.2',
  fastify: '5.12.8',
  'fastify-4': 'npm:fastify@4.29.1',
  'http-proxy': '1.18.1',
  koa: '3.3.0',
  next: '16.4.6',
  react: '19.3.1',
  'react-dom': '19.3.1',
  'socket.io': '4.8.4',
  vite: '7.3.8',
  ws: '8.23.0',
}

requireNode()
if (!(await install()) || !(await build())) conclude('frameworks', { passed: 0, failed: 1 })
const folder = mkdtempSync(join(tmpdir(), 'peerage-frameworks-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies: PACKAGES }))
const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--no-package-lock']
if ((await step('installing the frameworks', 'npm', ['install', ...quiet], { cwd: folder })) !== 0)
  conclude('frameworks', { passed: 0, failed: 1 })
const { stdout, status } = spawnSync(
  process.execPath,
  [`${ROOT}test/frameworks/run.mjs`, folder, ...process.argv.slice(2)],
  {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' },
  },
)
process.stdout.write(stdout)
const [, passed = '0', failed = '1'] = /^(\d+) passed, (\d+) failed$/m.exec(stdout) ?? []
conclude('frameworks', {
  passed: Number(passed),
  failed: status === 0 ? Number(failed) : Math.max(1, Number(failed)),
})
