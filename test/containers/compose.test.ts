import { randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import type { Page as FirefoxPage } from 'puppeteer-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchChromium, type ChromiumBrowser } from '@peerage/test-support/chromium.js'
import { probeStun, turnCredentials } from '@peerage/test-support/coturn.js'
import { launchFirefox, type FirefoxBrowser } from '@peerage/test-support/firefox.js'
import { fileIn, linkOf, OPEN_MS, share } from '../e2e/page-kit.js'
import { DIFFERENCES, makeProject, type ComposeProject } from './compose.js'
import {
  metricOf,
  relayAnswers,
  rightsOf,
  textBetween,
  turnOf,
  watchStarts,
  type StartEvents,
} from './compose-probes.js'
import { theEngine } from './engine.js'

// docker-compose.yml, as somebody starts it after a checkout. The tests share one cluster, and run in their order.

const PAGE = 'http://localhost:8080'
const NODES = ['node1', 'node2', 'node3']
const PEERS = 9
/** Compose's own start and end of a client take seconds on two cores. */
const TEST_MS = 90_000
const START_MS = 300_000
const GRACE_MS = 30_000
/** Bit 10 of the capabilities. */
const NET_BIND_SERVICE = 0x400
/** The account of each service's first process. */
const ACCOUNTS: Readonly<Record<string, number>> = {
  haproxy: 99,
  node1: 65_532,
  node2: 65_532,
  node3: 65_532,
  redis: 999,
  p2p: 65_532,
  coturn: 65_534,
  prometheus: 65_534,
}
const SECRETS: Readonly<Record<string, readonly string[]>> = {
  node1: ['redis_password', 'turn_secret'],
  node2: ['redis_password', 'turn_secret'],
  node3: ['redis_password', 'turn_secret'],
  redis: ['redis_password'],
  coturn: ['turn_secret'],
}

const engine = theEngine()
let project: ComposeProject
let events: StartEvents
let chromium: ChromiumBrowser
let firefox: FirefoxBrowser
let host: Page
let guest: FirefoxPage
/** A page of the tier's origin with many peers. The nodes refuse programs, because the compose file has no key for them. */
let crowd: Page

beforeAll(async () => {
  project = await makeProject(engine)
  await project.makeSecrets()
  events = await watchStarts(engine, project.name)
  await project.compose('up', '--build', '--detach', '--wait', '--quiet-pull')
}, START_MS)

afterAll(async () => {
  await chromium?.stop()
  await firefox?.stop()
  await events?.stop()
  await project?.remove()
}, TEST_MS)

const secret = async (name: string): Promise<string> =>
  (await readFile(join(project.folder, 'secrets', `${name}.txt`), 'utf8')).trim()

const cli = (...args: string[]): Promise<string> =>
  engine.output(['exec', project.container('redis'), 'redis-cli', ...args])

const connections = (): Promise<number[]> =>
  Promise.all(
    NODES.map(async (node) =>
      metricOf(`http://${await project.address(node, 'back')}:9100`, 'peerage_connections'),
    ),
  )

const readiness = (): Promise<number> =>
  fetch(`${PAGE}/readyz`).then(
    ({ status }) => status,
    () => 0,
  )

/** Each peer of the crowd sends a text to the next one through the nodes, which takes several attempts after a fault. */
async function everyPeerReachesTheNext(what: string): Promise<void> {
  const send = `Promise.all(peers.map((peer, i) =>
    peer.send(peers[(i + 1) % peers.length].name, '${what}-' + i, { via: 'server' }))).then(() => true, String)`
  await expect.poll(() => crowd.evaluate<unknown>(send), { timeout: TEST_MS }).toBe(true)
  const arrived = `new Set(arrived.filter((text) => text.startsWith('${what}-'))).size`
  await expect.poll(() => crowd.evaluate<unknown>(arrived)).toBe(PEERS)
}

/** As `connect` in the crowd's page; says `connected`, or why not. */
const connectAs = (name: string): string =>
  `connect(location.origin, { name: '${name}', storage: null }).then(() => 'connected', ({ code }) => code)`

test('the copy that runs differs from docker-compose.yml only in what DIFFERENCES lists', async () => {
  const paths = await project.differences()
  const needed = DIFFERENCES.filter(({ isNeeded }) => isNeeded(project.machine))
  for (const path of paths)
    expect([path, needed.some(({ changes }) => changes.test(path))]).toEqual([path, true])
  for (const { what, changes } of needed)
    expect([what, paths.some((path) => changes.test(path))]).toEqual([what, true])
  for (const { what, why } of needed) process.stderr.write(`docker-compose.yml runs with ${what}: ${why}\n`)
})

test('every service runs and is healthy, and all nodes run the image that was built once', async () => {
  const services = await project.services()
  for (const service of services) {
    const { Running, Health } = (await project.inspect(service)).State
    expect([service, Running, Health?.Status]).toEqual([service, true, 'healthy'])
  }
  const images = await Promise.all(
    [...NODES, 'p2p'].map((service) =>
      engine.docker(['inspect', '--format', '{{.Image}}', project.container(service)]),
    ),
  )
  expect(new Set(images).size).toBe(1)
})

test('services start in the order of their dependencies: Redis is healthy, then the nodes are, then HAProxy starts', () => {
  for (const node of NODES) {
    expect(events.first(node, 'start')).toBeGreaterThan(events.first('redis', 'health_status: healthy'))
    expect(events.first('haproxy', 'start')).toBeGreaterThan(events.first(node, 'health_status: healthy'))
  }
})

test('each container runs as its own account, read-only, without capabilities, with its own secrets and no others', async () => {
  for (const [service, account] of Object.entries(ACCOUNTS)) {
    const { State, Mounts, HostConfig } = await project.inspect(service)
    const bound = service === 'coturn' ? NET_BIND_SERVICE : 0
    expect([service, await rightsOf(State.Pid)]).toEqual([
      service,
      { account, held: 0, bound, mayGain: false },
    ])
    expect([service, HostConfig.ReadonlyRootfs]).toEqual([service, true])
    const writable = Mounts.filter(({ RW }) => RW).map(({ Destination }) => Destination)
    expect([service, writable]).toEqual([service, service === 'prometheus' ? ['/prometheus'] : []])
    const secrets = Mounts.map(({ Destination }) => /^\/run\/secrets\/(.*)/.exec(Destination)?.[1])
    expect([service, secrets.filter((name) => name !== undefined).sort()]).toEqual([
      service,
      SECRETS[service] ?? [],
    ])
  }
})

test('the secrets can be read in their containers, but by no other account of this machine, and no process list shows them', async () => {
  const { mode } = await stat(join(project.folder, 'secrets'))
  expect(mode & 0o077).toBe(0)
  const values = [await secret('redis'), await secret('turn')]
  for (const service of await project.services()) {
    const shown =
      (await engine.docker(['top', project.container(service), '-eo', 'pid,args'])) +
      JSON.stringify(await engine.docker(['inspect', project.container(service)]))
    for (const value of values) expect([service, shown.includes(value)]).toEqual([service, false])
  }
})

test('Redis knows one user, who needs the password and may run only the commands of a node', async () => {
  const password = await secret('redis')
  expect(await cli('ping')).toContain('NOAUTH')
  expect(await cli('--user', 'default', '--pass', '', 'ping')).toContain('WRONGPASS')
  expect(await cli('--user', 'peerage', '--pass', '', 'ping')).toContain('WRONGPASS')
  expect(await cli('--user', 'peerage', '--pass', password, 'get', 'pg:none')).not.toContain('NOPERM')
  for (const command of [['keys', '*'], ['flushall'], ['config', 'get', '*'], ['get', 'other']])
    expect(await cli('--user', 'peerage', '--pass', password, ...command)).toContain('NOPERM')
})

test('the P2P server answers, and coturn relays for the credentials that a node issues, but not to this machine', async () => {
  expect(await probeStun('127.0.0.1', 9901)).toBe(true)
  expect(await probeStun('127.0.0.1', 3478)).toBe(true)
  const { urls, username, credential } = await turnOf(PAGE)
  expect(urls).toEqual(['turn:localhost:3478?transport=udp'])
  expect(await relayAnswers({ username, password: credential })).toEqual(['granted', 403])
  for (const key of ['wrong', ' '])
    expect((await relayAnswers(turnCredentials(key, 'compose', 60)))[0]).toBe(401)
})

test('Prometheus reads all nodes, and has loaded every alert rule', async () => {
  const url = `http://${await project.address('prometheus', 'back')}:9090/api/v1`
  const ask = async (path: string): Promise<string> => (await fetch(`${url}/${path}`)).text()
  const up = async (): Promise<number> => (await ask('query?query=up==1')).split('"instance"').length - 1
  await expect.poll(up, { timeout: 40_000 }).toBe(NODES.length)
  const alerts = await readFile(join(project.folder, 'deploy/alerts.yml'), 'utf8')
  expect((await ask('rules')).split('"type":"alerting"').length).toBe(alerts.split('- alert:').length)
})

test('Chromium and Firefox on different nodes open a channel, and data passes in both directions', async () => {
  chromium = await launchChromium()
  firefox = await launchFirefox()
  const before = await connections()
  const added = async (): Promise<number[]> => {
    const now = await connections()
    return now.map((count, i) => count - (before[i] ?? 0))
  }
  host = await chromium.page(PAGE)
  const link = await linkOf(host)
  const bytes = randomBytes(1_000_000)
  await share(host, await fileIn(project.folder, 'shared.bin', bytes))
  // HAProxy takes the nodes in turn, also for the page's files: a guest may come to the host's node. Then another one comes.
  for (let tries = 0; tries < 9; tries++) {
    guest = await firefox.page(link)
    guest.setDefaultTimeout(OPEN_MS)
    await guest.waitForSelector('[data-offered="shared.bin"]')
    if (Math.max(...(await added())) === 1) break
    await guest.close()
    await expect.poll(async () => (await added()).reduce((a, b) => a + b)).toBe(1)
  }
  expect((await added()).toSorted((a, b) => a - b)).toEqual([0, 1, 1])
  await textBetween(guest, host, 'from Firefox')
}, 180_000)

test(
  'a node that is stopped drains within its grace: its peers move, and names and the open channel are kept',
  async () => {
    crowd = await chromium.page(`${PAGE}/healthz`)
    await crowd.evaluate(`(async () => {
    Object.assign(globalThis, await import('/client/peerage.js'), { arrived: [] })
    const names = Array.from({ length: ${PEERS} }, (_, i) => 'compose-' + i)
    globalThis.peers = await Promise.all(names.map((name) => connect(location.origin, { name, storage: null })))
    for (const peer of peers) peer.on('message', (_, text) => arrived.push(text))
  })()`)
    await everyPeerReachesTheNext('before')
    expect((await connections())[0]).toBeGreaterThan(0)
    const startedAt = performance.now()
    await project.compose('stop', 'node1')
    expect(performance.now() - startedAt).toBeLessThan(GRACE_MS)
    const { State } = await project.inspect('node1')
    expect([State.Running, State.ExitCode]).toEqual([false, 0])
    await everyPeerReachesTheNext('moved')
    for (let i = 0; i < PEERS; i++) expect(await crowd.evaluate(connectAs(`compose-${i}`))).toBe('name-taken')
    await textBetween(guest, host, 'after the drain')
    await project.compose('up', '--detach', '--wait', 'node1')
  },
  TEST_MS,
)

test(
  'after a restart of Redis the nodes write the names back',
  async () => {
    await project.compose('restart', 'redis')
    await everyPeerReachesTheNext('restarted')
    await expect.poll(readiness, { timeout: 30_000 }).toBe(200)
    for (let i = 0; i < PEERS; i++) expect(await crowd.evaluate(connectAs(`compose-${i}`))).toBe('name-taken')
  },
  TEST_MS,
)

test(
  'HAProxy restarts at once although peers are connected, and they come back',
  async () => {
    const startedAt = performance.now()
    await engine.docker(['restart', project.container('haproxy')])
    expect(performance.now() - startedAt).toBeLessThan(8_000)
    await everyPeerReachesTheNext('balanced')
  },
  TEST_MS,
)

test(
  'the cluster comes back when the engine starts HAProxy before the nodes, as it may after a reboot',
  async () => {
    const names = [...NODES, 'haproxy'].map((service) => project.container(service))
    await engine.docker(['kill', ...names])
    await engine.docker(['start', project.container('haproxy')])
    await expect.poll(readiness).toBe(503)
    await engine.docker(['start', ...NODES.map((node) => project.container(node))])
    await expect.poll(readiness, { timeout: 30_000 }).toBe(200)
    await everyPeerReachesTheNext('rebooted')
  },
  TEST_MS,
)

test('every service ends by itself when it is told to stop', async () => {
  await project.compose('stop')
  const services = await project.services()
  const states = await Promise.all(services.map(async (service) => (await project.inspect(service)).State))
  const killed = services.filter((_, i) => states[i]?.Running || states[i]?.ExitCode === 137)
  expect(killed).toEqual([])
}, 90_000)

test(
  'down leaves no container, network or volume, and the ports are free',
  async () => {
    await project.compose('down', '--volumes')
    const mine = ['--quiet', '--filter', `name=^${project.name}[-_]`]
    expect(await engine.docker(['ps', '--all', ...mine])).toBe('')
    expect(await engine.docker(['network', 'ls', ...mine])).toBe('')
    expect(await engine.docker(['volume', 'ls', ...mine])).toBe('')
    for (const port of [8080, 9901, 3478]) {
      const server = createServer().listen(port)
      await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
      await new Promise((resolve) => server.close(resolve))
    }
  },
  TEST_MS,
)
