// npm run test:nodes: runs `npm run check` and the cluster tests on each newer release line of Node. The binaries come from
// npm and stay in .work/nodes. Nothing is installed.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { delimiter, dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { build, conclude, install, orRefuse, refuse, requireNode, ROOT, step } from './lib.mjs'

/** The newest version of each line on npm on 2026-11-28. Everything else here runs on Node 20. */
const NODES = { 22: '22.23.5', 24: '24.22.3', 26: '26.12.1' }
const PACKAGE = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`

const USAGE = `npm run test:nodes -- [LINE …] [PATH …] [-t NAME]
  LINE     some of ${Object.keys(NODES).join(', ')}; by default all
  PATH     tests to run instead of the cluster tests, as for vitest: test/cluster/rooms
  -t NAME  run only tests whose names match`

requireNode()
const { positionals, values } = await orRefuse(USAGE, () =>
  parseArgs({
    allowPositionals: true,
    options: { testNamePattern: { type: 'string', short: 't' }, help: { type: 'boolean' } },
  }),
)
if (values.help) {
  console.log(USAGE)
  process.exit(0)
}
const lines = positionals.filter((arg) => Object.hasOwn(NODES, arg))
const paths = positionals.filter((arg) => !Object.hasOwn(NODES, arg))
const unknown = paths.filter((arg) => /^[\d.]+$/.test(arg))
if (unknown.length > 0)
  refuse(`unknown line of Node: ${unknown.join(', ')}; known are ${Object.keys(NODES).join(', ')}`, USAGE)
if (!(await install()) || !(await build())) conclude('nodes', { passed: 0, failed: 1 })

const results = []
for (const line of lines.length > 0 ? lines : Object.keys(NODES))
  results.push({ version: NODES[line], ...(await runOn(NODES[line])) })
console.log('')
for (const { version, passed, failed } of results)
  console.log(`Node ${version}: ${passed} passed, ${failed} failed`)
conclude('nodes', results.reduce(add))

async function runOn(version) {
  const node = await provide(version)
  // A version that was not tested counts as a failure.
  if (node === undefined) return { passed: 0, failed: 1 }
  const real = paths.length > 0 ? paths : ['test/cluster']
  if (values.testNamePattern !== undefined) real.push('-t', values.testNamePattern)
  const check = await runScript(node, version, 'check', [])
  return add(check, await runScript(node, version, 'test', ['--project', 'real*', ...real]))
}

/** Runs another script of this folder with that binary, and reads the counts that it wrote. */
async function runScript(node, version, name, args) {
  const summary = `${ROOT}.work/${name}-summary`
  rmSync(summary, { force: true })
  const code = await step(
    `Node ${version}: npm run ${[name, ...args].join(' ')}`,
    node,
    [`${ROOT}scripts/${name}.mjs`, ...args],
    // Programs that a test starts as `node` use this binary, too.
    { quietTicks: true, env: { ...process.env, PATH: [dirname(node), process.env.PATH].join(delimiter) } },
  )
  if (!existsSync(summary)) return { passed: 0, failed: 1 }
  const [passed, failed] = readFileSync(summary, 'utf8').split(' ').map(Number)
  // Removed because .ci/run reads the same file, and must not find this run's counts.
  rmSync(summary)
  return { passed, failed: code !== 0 && failed === 0 ? 1 : failed }
}

/** The path of that version's binary, from npm unless it is already there; undefined if it is not available. */
async function provide(version) {
  const folder = `${ROOT}.work/nodes/${version}`
  const installed = `${folder}/node_modules/${PACKAGE}/bin/node`
  const node = process.platform === 'win32' ? `${installed}.exe` : installed
  if (versionOf(node) !== version) {
    const wanted = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts']
    await step(`fetching ${PACKAGE}@${version}`, 'npm', [...wanted, `${PACKAGE}@${version}`])
  }
  if (versionOf(node) === version) return node
  console.error(`\n▸ Node ${version} is not available`)
  return undefined
}

function versionOf(node) {
  return existsSync(node)
    ? execFileSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim()
    : undefined
}

function add(one, other) {
  return { passed: one.passed + other.passed, failed: one.failed + other.failed }
}
