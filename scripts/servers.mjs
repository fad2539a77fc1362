// npm run test:servers: runs the tests that need real servers against the newest Redis, Valkey and coturn of Debian's
// unstable release. It downloads their packages with its own apt configuration, and unpacks them in a temporary folder.
// Nothing is installed. Arguments after `--` select servers: redis, valkey, coturn.
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { build, conclude, install, refuse, requireNode, runTests } from './lib.mjs'

const RELEASE = 'sid'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
const MIRROR = 'http://deb.debian.org/debian'

/** The cluster tests and the tests of the Redis fixtures. */
const REDIS_TESTS = ['test/cluster', 'test/support/redis']

/** `programs`: the name that a fixture looks for on PATH → the file in the packages. */
const SERVERS = {
  redis: {
    packages: ['redis-server'],
    programs: { 'redis-server': 'usr/bin/redis-server' },
    version: /v=(\S+)/,
    tests: REDIS_TESTS,
  },
  valkey: {
    packages: ['valkey-server'],
    // The link has the name that the fixtures look for first.
    programs: { 'redis-server': 'usr/bin/valkey-server' },
    version: /v=(\S+)/,
    tests: REDIS_TESTS,
  },
  coturn: {
    packages: ['coturn'],
    programs: Object.fromEntries(
      [
        'turnserver',
        'turnutils_uclient',
        'turnutils_stunclient',
        'turnutils_natdiscovery',
        'turnutils_peer',
      ].map((name) => [name, `usr/bin/${name}`]),
    ),
    version: /(\d+\.\d+\.\d+)/,
    tests: ['test/nat/turn', 'test/nat/stun-clients', 'test/support/coturn'],
  },
}

class NotAvailable extends Error {}

requireNode()
const USAGE = `npm run test:servers -- [${Object.keys(SERVERS).join('|')} …]`
const wanted = process.argv.slice(2)
if (wanted.includes('--help')) {
  console.log(USAGE)
  process.exit(0)
}
const unknown = wanted.filter((name) => !Object.hasOwn(SERVERS, name))
if (unknown.length > 0)
  refuse(`unknown server: ${unknown.join(', ')}; known are ${Object.keys(SERVERS).join(', ')}`, USAGE)
if (!(await install()) || !(await build())) conclude('servers', { passed: 0, failed: 1 })
const folder = mkdtempSync(join(tmpdir(), 'peerage-servers-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

const total = { passed: 0, failed: 0 }
for (const [name, server] of Object.entries(SERVERS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  let path
  try {
    path = provide(name, server)
  } catch (error) {
    if (!(error instanceof NotAvailable)) throw error
    // A server that was not tested counts as a failure.
    console.error(`\n▸ ${name} is not available: ${error.message}`)
    total.failed++
    continue
  }
  const { passed, failed } = await runTests(
    `tests against ${path.version}`,
    `servers-${name}`,
    ['--project', 'real*', ...server.tests],
    { PATH: [path.bin, process.env.PATH].join(delimiter), PEERAGE_TEST_PARTS: 'binary' },
  )
  total.passed += passed
  total.failed += failed
}
conclude('servers', total)

/** Unpacks a server with all its dependencies, and makes a folder of programs that run it. */
function provide(name, { packages, programs, version }) {
  if (process.platform !== 'linux') throw new NotAvailable('Debian packages run on Linux only')
  const root = join(folder, name)
  const archives = fetchPackages(name, packages)
  mkdirSync(root)
  for (const archive of archives) run('dpkg', ['-x', archive, root])
  const loader = findLoader(root)
  const libraries = libraryFolders(root)
  const bin = join(folder, `${name}-bin`)
  mkdirSync(bin)
  for (const [program, at] of Object.entries(programs)) {
    const file = join(bin, program)
    const real = join(root, at)
    if (!existsSync(real)) throw new NotAvailable(`${packages.join(', ')} do not contain ${at}`)
    // Their C library is newer than this machine's, so their own loader must start them.
    writeFileSync(
      file,
      `#!/bin/sh\nexec ${loader} --argv0 ${program} --library-path ${libraries.join(':')} ${real} "$@"\n`,
    )
    chmodSync(file, 0o755)
  }
  const [first = ''] = Object.keys(programs)
  const told = run(join(bin, first), ['--version'])
  return { bin, version: `${name} ${version.exec(told)?.[1] ?? told.trim()}` }
}

/** Downloads the packages and all their dependencies. Returns the paths of the archives. */
function fetchPackages(name, packages) {
  const apt = join(folder, `${name}-apt`)
  for (const part of ['state/lists/partial', 'cache/archives/partial', 'none'])
    mkdirSync(join(apt, part), { recursive: true })
  writeFileSync(join(apt, 'status'), '')
  const signed = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : ''
  writeFileSync(join(apt, 'sources.list'), `deb ${signed}${mirror()} ${RELEASE} main\n`)
  const options = {
    'Dir::State': join(apt, 'state'),
    // An empty status, as if nothing were installed, so that all dependencies are downloaded.
    'Dir::State::status': join(apt, 'status'),
    'Dir::Cache': join(apt, 'cache'),
    'Dir::Etc::sourcelist': join(apt, 'sources.list'),
    'Dir::Etc::sourceparts': join(apt, 'none'),
    'Dir::Etc::preferences': join(apt, 'none', 'preferences'),
    'Dir::Etc::preferencesparts': join(apt, 'none'),
    'Acquire::Languages': 'none',
    'APT::Install-Recommends': 'false',
    'APT::Sandbox::User': '',
  }
  const flags = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`])
  console.log(`\n▸ fetching ${packages.join(', ')} of ${RELEASE} …`)
  run('apt-get', [...flags, '-qq', 'update'])
  run('apt-get', [...flags, '-qq', '-y', '--download-only', 'install', ...packages])
  const archives = join(apt, 'cache/archives')
  return readdirSync(archives)
    .filter((file) => file.endsWith('.deb'))
    .map((file) => join(archives, file))
}

/** The Debian mirror of this machine. */
function mirror() {
  const listed = run('apt-get', ['indextargets', '--format', '$(REPO_URI) $(ORIGIN)', 'Created-By: Packages'])
  return /^(\S+) Debian$/m.exec(listed.replaceAll(/^\S*security\S* .*$/gm, ''))?.[1] ?? MIRROR
}

function findLoader(root) {
  const found = ['usr/lib64', 'lib64', 'usr/lib', 'lib']
    .map((at) => join(root, at))
    .filter((at) => existsSync(at))
    .flatMap((at) => readdirSync(at, { recursive: true }).map((file) => join(at, file)))
    .find((file) => /\/ld-linux[^/]*\.so\.\d+$/.test(file) && existsSync(file))
  if (found === undefined) throw new NotAvailable('the packages contain no loader')
  return found
}

function libraryFolders(root) {
  const within = ['usr/lib', 'lib'].flatMap((at) => {
    const directory = join(root, at)
    if (!existsSync(directory)) return []
    return [
      directory,
      ...readdirSync(directory)
        .filter((each) => each.includes('-linux-'))
        .map((each) => join(directory, each)),
    ]
  })
  // Some packages keep a library in a subfolder.
  return within.flatMap((at) => [
    at,
    ...readdirSync(at, { withFileTypes: true })
      .filter((each) => each.isDirectory() && /^(?:blas|lapack|systemd|mariadb)$/.test(each.name))
      .map((each) => join(at, each.name)),
  ])
}

function run(command, args) {
  try {
    return execFileSync(command, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 1 << 26,
    })
  } catch (error) {
    const said = String(error.stderr ?? '').trim() || error.message
    throw new NotAvailable(`${command} ${args.slice(-2).join(' ')}: ${said}`)
  }
}
