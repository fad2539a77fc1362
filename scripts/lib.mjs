// Functions that the scripts share. They use no packages, because they run before anything is installed.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../', import.meta.url))
const WORK = `${ROOT}.work/`
const TICK_MS = 10_000
const OLDEST_NODE = [20, 19]

/** Runs a command, prints what it does, and prints the time every ten seconds. Resolves with its exit code. */
export async function step(what, command, args, options = {}) {
  console.log(`\n▸ ${what} …`)
  const startedAt = Date.now()
  const seconds = () => `${Math.round((Date.now() - startedAt) / 1000)} s`
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'], ...options })
  const ticker = options.quietTicks
    ? undefined
    : setInterval(() => console.log(`  … ${what}, ${seconds()}`), TICK_MS)
  const code = await new Promise((resolve) => {
    child.once('error', (error) => {
      console.error(`  ${command} cannot be started: ${error.message}`)
      resolve(127)
    })
    child.once('close', (code, signal) => resolve(signal === null ? code : 1))
  })
  clearInterval(ticker)
  console.log(code === 0 ? `  done in ${seconds()}` : `  failed after ${seconds()} (exit code ${code})`)
  return code
}

export function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  const [oldMajor, oldMinor] = OLDEST_NODE
  if (major > oldMajor || (major === oldMajor && minor >= oldMinor)) return
  console.error(`Node ${OLDEST_NODE.join('.')} or later is needed; this is ${process.version}.`)
  process.exit(1)
}

/** Ends this process with exit code 2. Prints what is wrong with the arguments, then the usage. */
export function refuse(wrong, usage) {
  console.error(`${wrong.replaceAll('\n', ' ')}\n\n${usage}`)
  process.exit(2)
}

/** Returns the result of `act`. If it throws an error about arguments, the process ends as in `refuse`. */
export async function orRefuse(usage, act) {
  try {
    return await act()
  } catch (error) {
    // The first is thrown by parseArgs, the second by test/support/usage.ts.
    if (/^(?:ERR_PARSE_ARGS_|WRONG_USAGE$)/.test(error?.code)) refuse(error.message, usage)
    throw error
  }
}

/**
 * Runs `npm ci`, unless the packages of the lock file are installed. Resolves with true if it succeeds. With
 * `only: 'run'` it leaves out the packages that neither the build nor a node needs. An installation that has them keeps
 * them.
 */
export async function install({ only = 'everything' } = {}) {
  if (isInstalled(only)) {
    console.log('▸ packages: installed, as package-lock.json says')
    return true
  }
  const omitted = only === 'run' && !hasDevelopment() ? ['--omit=dev'] : []
  const args = ['ci', ...omitted, '--no-audit', '--no-fund']
  const command = `npm ${args.slice(0, omitted.length + 1).join(' ')}`
  const what = `installing packages (${command}; ${omitted.length > 0 ? 'seconds' : 'a minute or two'} the first time)`
  const npm = process.env.npm_execpath
  if (npm === undefined || !npm.endsWith('.js')) return (await step(what, 'npm', args)) === 0
  return (await step(what, process.execPath, [npm, ...args])) === 0
}

/** Whether these packages are installed: `run`, those that a node and its build need, or `everything`. */
export function isInstalled(which) {
  const installed = installedPackages()
  if (installed === undefined || !existsSync(`${ROOT}node_modules/.bin/peerage`)) return false
  const wanted = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8')).packages
  // A link to a folder of ours has no version.
  const isSame = (key) => installed[key] !== undefined && installed[key].version === wanted[key].version
  const isWanted = (key) =>
    key.includes('node_modules/') &&
    (which === 'everything' || !(wanted[key].dev === true || wanted[key].devOptional === true))
  // Optional packages of other platforms are not installed.
  return Object.keys(wanted)
    .filter(isWanted)
    .every((key) => isSame(key) || (wanted[key].optional === true && installed[key] === undefined))
}

function hasDevelopment() {
  return Object.values(installedPackages() ?? {}).some(({ dev }) => dev === true)
}

/** npm's own record of what it has installed. */
function installedPackages() {
  const record = `${ROOT}node_modules/.package-lock.json`
  return existsSync(record) ? JSON.parse(readFileSync(record, 'utf8')).packages : undefined
}

/** Builds every package, the page for browsers, and the SDK as one file. Resolves with true if all steps succeed. */
export async function build() {
  removeLeftovers()
  const steps = [
    { what: 'compiling (tsc -b)', args: [bin('typescript/bin/tsc'), '-b'] },
    { what: 'building the SDK as one file (rolldown)', args: [`${ROOT}scripts/bundle.mjs`] },
    {
      what: 'building the page (vite)',
      args: [bin('vite/bin/vite.js'), 'build', '--logLevel', 'warn'],
      options: { cwd: `${ROOT}packages/share` },
    },
    { what: 'compressing what browsers load', args: [`${ROOT}scripts/compress.mjs`] },
  ]
  for (const { what, args, options } of steps)
    if ((await step(what, process.execPath, args, options)) !== 0) return false
  return true
}

/** Deletes compiled files whose source is gone. tsc leaves them, and npm would pack them. */
function removeLeftovers() {
  for (const name of readdirSync(`${ROOT}packages`)) {
    const [dist, src] = ['dist/', 'src/'].map((folder) => `${ROOT}packages/${name}/${folder}`)
    if (!existsSync(dist)) continue
    for (const file of readdirSync(dist, { recursive: true })) {
      const [, stem] = /^(?!(?:page|client|bundle)[/\\])(.+?)\.(?:js|js\.map|d\.ts)$/.exec(file) ?? []
      if (stem !== undefined && !existsSync(`${src}${stem}.ts`)) rmSync(dist + file)
    }
  }
}

export function bin(path) {
  return `${ROOT}node_modules/${path}`
}

/**
 * Runs tests and counts them. `env` is added to the environment. A file that cannot be loaded counts as one failure, and
 * so does a run without a report.
 */
export async function runTests(what, name, args, env = {}) {
  mkdirSync(WORK, { recursive: true })
  const report = `${WORK}${name}.json`
  writeFileSync(report, '')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const code = await step(what, process.execPath, [bin('vitest/vitest.mjs'), 'run', ...reporters, ...args], {
    quietTicks: true,
    env: { ...process.env, ...env },
  })
  const counted = count(report)
  // The failure was outside of any test, such as an unhandled rejection or a crash.
  if (code !== 0 && counted.failed === 0) counted.failed = 1
  return counted
}

function count(report) {
  const text = readFileSync(report, 'utf8')
  if (text === '') return { passed: 0, failed: 1 }
  const { numPassedTests, testResults } = JSON.parse(text)
  let failed = 0
  for (const file of testResults) {
    const failures = file.assertionResults.filter((test) => test.status === 'failed').length
    failed += file.status === 'failed' ? Math.max(1, failures) : failures
  }
  return { passed: numPassedTests, failed }
}

/** Prints the result as the last line, writes it for .ci/run to add up, and ends this process. */
export function conclude(name, { passed, failed }) {
  mkdirSync(WORK, { recursive: true })
  writeFileSync(`${WORK}${name}-summary`, `${passed} ${failed}\n`)
  console.log(`\n${passed} passed, ${failed} failed`)
  process.exit(failed === 0 ? 0 : 1)
}
