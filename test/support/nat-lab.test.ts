import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { startCoturn, turnutils } from './coturn.js'
import { startNatLab, type NatKind, type NatLab } from './nat-lab.js'
import { canUseNamespaces } from './netns.js'
import { startNode } from './node.js'
import { startRedis } from './redis.js'

const namespaces = await canUseNamespaces()
if (!namespaces.ok) process.stderr.write(`the NAT lab did not run: ${namespaces.reason}\n`)

async function build(a: NatKind, b: NatKind, finish: typeof onTestFinished): Promise<NatLab> {
  const lab = await startNatLab({ a, b })
  finish(() => lab.stop())
  return lab
}

/** What coturn's own client reports about the NAT in front of site a (RFC 5780 §4.3 and §4.4). */
async function discover(lab: NatLab): Promise<string> {
  const coturn = await startCoturn({ secret: 'north', hosts: lab.pub.addresses, inside: lab.pub })
  const text = await lab.a.run(await turnutils('natdiscovery'), [
    '-m',
    '-f',
    '-p',
    String(coturn.port),
    coturn.host,
  ])
  await coturn.stop()
  return text
}

/** Fetches a URL from within a site. Resolves with the body, or with the name of the error. */
function fetchFrom(site: NatLab['a'], url: string, withinMs = 20_000): Promise<string> {
  const script = `fetch('${url}', { signal: AbortSignal.timeout(${withinMs}) })
    .then((r) => r.text()).catch((e) => e.name)
    .then((text) => process.stdout.write(text, () => process.exit()))`
  return site.run(process.execPath, ['-e', script])
}

async function serve(body: string, finish: typeof onTestFinished): Promise<number> {
  const server = createServer((_, response) => response.writeHead(200, { connection: 'close' }).end(body))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  finish(() => {
    server.close()
  })
  return (server.address() as AddressInfo).port
}

const independent = { mapping: 'Endpoint Independent Mapping', filtering: 'Endpoint Independent Filtering' }
const dependent = {
  mapping: 'Address and Port Dependent Mapping',
  filtering: 'Address and Port Dependent Filtering',
}
const behaviours = [
  { kind: 'full-cone', ...independent },
  { kind: 'port-restricted', mapping: independent.mapping, filtering: dependent.filtering },
  { kind: 'symmetric', ...dependent },
] as const

test.runIf(namespaces.ok).concurrent.for(behaviours)(
  'NAT $kind: $mapping, $filtering',
  async ({ kind, mapping, filtering }, { expect, onTestFinished }) => {
    const found = await discover(await build(kind, 'open', onTestFinished))
    expect(found).toContain(mapping)
    expect(found).toContain(filtering)
    expect(found).toContain('UDP reflexive addr: 203.0.113.11:')
  },
)

test
  .runIf(namespaces.ok)
  .concurrent('NAT udp-blocked: TCP passes, UDP does not', async ({ expect, onTestFinished }) => {
    const lab = await build('udp-blocked', 'open', onTestFinished)
    expect(await discover(lab)).toContain('STUN receive timeout')
    const port = await serve('hello', onTestFinished)
    await lab.pub.expose(port)
    // The site connects to a public address, where a relay forwards to the exposed port.
    await lab.pub.listen(`${lab.pub.addresses[0]}:8080`, `127.0.0.1:${port}`)
    expect(await fetchFrom(lab.a, `http://${lab.pub.addresses[0]}:8080`)).toBe('hello')
  })

test.runIf(namespaces.ok)('open: the other site can reach a site with a public address', async () => {
  const lab = await build('port-restricted', 'open', onTestFinished)
  const port = await serve('hello', onTestFinished)
  await lab.b.expose(port)
  await lab.b.listen(`${lab.b.publicAddress}:8080`, `127.0.0.1:${port}`)
  expect(lab.b.address).toBe(lab.b.publicAddress)
  expect(await fetchFrom(lab.a, `http://${lab.b.publicAddress}:8080`)).toBe('hello')
  const near = await lab.b.reach(lab.b.publicAddress, 8080)
  expect(await (await fetch(`http://127.0.0.1:${near}`)).text()).toBe('hello')
})

test.runIf(namespaces.ok)(
  'a site with a total loss of packets reaches nobody until the loss ends',
  async () => {
    const lab = await build('port-restricted', 'open', onTestFinished)
    const port = await serve('hello', onTestFinished)
    await lab.pub.expose(port)
    const url = `http://${lab.pub.addresses[0]}:8080`
    await lab.pub.listen(`${lab.pub.addresses[0]}:8080`, `127.0.0.1:${port}`)
    await lab.a.lose(1)
    expect(await fetchFrom(lab.a, url, 500)).toBe('TimeoutError')
    await lab.a.lose(0)
    expect(await fetchFrom(lab.a, url)).toBe('hello')
  },
)

test.runIf(namespaces.ok)('nodes on the public network share the Redis of this machine', async () => {
  const lab = await build('symmetric', 'open', onTestFinished)
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  await lab.pub.expose(redis.port)
  const node = await startNode({
    redisUrl: redis.url,
    through: lab.pub.through,
    args: ['--host', lab.pub.addresses[0]],
  })
  onTestFinished(() => node.stop())
  expect(node.host).toBe(lab.pub.addresses[0])
  expect(await fetchFrom(lab.a, `${node.url}/readyz`)).toContain('ready')
  const near = await lab.pub.reach(node.host, node.port)
  expect((await fetch(`http://127.0.0.1:${near}/readyz`)).status).toBe(200)
})

test.runIf(namespaces.ok)('a stopped lab leaves no process behind', async () => {
  const lab = await build('symmetric', 'symmetric', onTestFinished)
  const child = await lab.a.start({ command: 'sleep', args: ['60'] })
  const pids = [child.pid, lab.pub.pid, lab.a.pid, lab.b.pid]
  await lab.stop()
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH')
})
