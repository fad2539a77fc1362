// npm run test:nodes: `npm run check` and the cluster tests on each of the newer lines of Node. Their binaries come from
// npm into .work/nodes and stay there; nothing is installed.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { delimiter, dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { build, conclude, install, orRefuse, refuse, requireNode, ROOT, step } from './lib.mjs'

/** The newest of each line that npm had on 2026-11-28. Node 20 is what everything else here runs on. */
const NODES = { 22: '22.23.5', 24: '24.22.3', 26: '26.12.1' }
const PACKAGE = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`

const USAGE = `npm run test:nodes -- [LINE …] [PATH …] [-t NAME]
  LINE     some of ${Object.keys(NODES).join(', ')}; all when none is named
  PATH     the tests to run in place of the cluster tests, as vitest takes it: test/cluster/rooms
  -t NAME  of them only those whose names match`

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
  refuse(
    `no such line of Node here: ${unknown.join(', ')}; there are ${Object.keys(NODES).join(', ')}`,
    USAGE,
  )
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
  // Said and counted: nobody shall take it for tested.
  if (node === undefined) return { passed: 0, failed: 1 }
  const real = paths.length > 0 ? paths : ['test/cluster']
  if (values.testNamePattern !== undefined) real.push('-t', values.testNamePattern)
  const check = await runScript(node, version, 'check', [])
  return add(check, await runScript(node, version, 'test', ['--project', 'real*', ...real]))
}

/** Runs one of the scripts beside this one with that binary, and reads what it has counted. */
async function runScript(node, version, name, args) {
  const summary = `${ROOT}.work/${name}-summary`
  rmSync(summary, { force: true })
  const code = await step(
    `Node ${version}: npm run ${[name, ...args].join(' ')}`,
    node,
    [`${ROOT}scripts/${name}.mjs`, ...args],
    // What a test starts as `node` is this one too.
    { quietTicks: true, env: { ...process.env, PATH: [dirname(node), process.env.PATH].join(delimiter) } },
  )
  if (!existsSync(summary)) return { passed: 0, failed: 1 }
  const [passed, failed] = readFileSync(summary, 'utf8').split(' ').map(Number)
  // It read what this run asked of it, and it is not here to stay: .ci/run reads the same file.
  rmSync(summary)
  return { passed, failed: code !== 0 && failed === 0 ? 1 : failed }
}

/** The path of that version's binary, from npm unless it is there already; undefined where it cannot be had. */
async function provide(version) {
  const folder = `${ROOT}.work/nodes/${version}`
  const installed = `${folder}/node_modules/${PACKAGE}/bin/node`
  const node = process.platform === 'win32' ? `${installed}.exe` : installed
  if (versionOf(node) !== version) {
    const wanted = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts']
    await step(`fetching ${PACKAGE}@${version}`, 'npm', [...wanted, `${PACKAGE}@${version}`])
  }
  if (versionOf(node) === version) return node
  console.error(`\n▸ Node ${version} could not be had`)
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
