import { defaultTimes } from '@peerage/core'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificates } from '@peerage/test-support/certificates.js'
import { PEERAGE_BIN, startNode, type Node } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startChild } from '@peerage/test-support/process.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'
import { allMalformed } from './malformed.js'

/** Two nodes on one Redis, a node with TLS, a node that requires a key and one origin, and a standalone STUN server, on loopback. */
export interface Testbed {
  readonly redis: RedisServer
  /** The processes that an attack must not end. The first two have peers. */
  readonly nodes: readonly Node[]
  readonly urls: readonly string[]
  readonly tlsPort: number
  readonly originPort: number
  readonly stunPort: number
  /** The link ports of the two nodes with peers. */
  readonly linkPorts: readonly number[]
  /** Files of a certificate from an authority that the nodes trust. */
  readonly certificates: { cert: string; key: string }
  /** A file with all malformed frames of the wires of pages, as JSON. */
  readonly malformed: string
  /** Returns the names of what died since the last call. Dead nodes are started again on the same port. */
  revive(): Promise<string[]>
  stop(): Promise<void>
}

/** The access key of the node that accepts one origin. */
export const ACCESS_KEY = 'the-right-key-0123456789'
/** The secret of the app `tokens`. */
export const TOKEN_SECRET = 'the-secret-of-the-app-with-tokens-0123456789'
/** A key for the API, for the app `tokens`. */
export const API_KEY = 'an-api-key-of-the-app-with-tokens'

/** The apps of the two nodes with peers. The neighbours are in `default`. `hanging` is a server that never answers. */
const appsFile = (hanging: string): string => `
apps:
  default:
    access: { mode: open }
  tokens:
    access: { mode: token, token: { algorithms: [HS256], secret: ${TOKEN_SECRET} } }
    api: { keys: [${API_KEY}] }
  keys:
    access: { mode: token, token: { algorithms: [ES256], jwks: '${hanging}/keys' } }
  hooks:
    access: { mode: webhook, webhook: { url: '${hanging}/access', allowPrivate: true } }
  flood:
    access: { mode: open }
    limits: { app: { messagesPerSecond: 2000 } }
`

/** An attack lasts seconds, so a handshake must not take the default ten seconds. */
const ARGS = [
  '--limits-handshake-ms',
  '2000',
  '--trusted-proxies',
  '127.0.0.1',
  '--use-as-p2p-server',
  'false',
]

/** The wires of pages, which are off by default. */
const WIRES = ['--y-webrtc', '--trystero', '--webtorrent', '--matchbox']

function linkArgs(port: number): string[] {
  return ['--links-host', '127.0.0.1', '--links-port', String(port)]
}

export async function startTestbed(): Promise<Testbed> {
  const [redis, certificates] = [await startRedis(), await makeCertificates()]
  const linkPorts = [await freePort(), await freePort()]
  const hanging = createServer(() => {})
  hanging.listen(0, '127.0.0.1')
  await once(hanging, 'listening')
  const folder = await mkdtemp(join(tmpdir(), 'peerage-attack-'))
  const malformed = join(folder, 'malformed.json')
  await writeFile(malformed, JSON.stringify(allMalformed()))
  const apps = join(folder, 'apps.yaml')
  await writeFile(apps, appsFile(`http://127.0.0.1:${(hanging.address() as AddressInfo).port}`))
  const members = [
    ...(await Promise.all(
      linkPorts.map(async (port, i) => ({
        name: `node ${i}`,
        args: [
          ...ARGS,
          ...WIRES,
          '--open',
          '--config',
          apps,
          '--port',
          String(await freePort()),
          '--admin-port',
          '0',
          ...linkArgs(port),
        ],
      })),
    )),
    {
      name: 'the TLS node',
      args: [...ARGS, '--port', '0', '--tls-cert', certificates.cert, '--tls-key', certificates.key],
    },
    {
      name: 'the origin node',
      args: [...ARGS, '--port', '0', '--origins', 'https://good.example', '--access-key', ACCESS_KEY],
    },
  ]
  const env = { NODE_EXTRA_CA_CERTS: certificates.ca }
  const start = (args: readonly string[]): Promise<Node> =>
    startNode({ redisUrl: redis.url, args, env, beatMs: defaultTimes.beatMs })
  const nodes = await Promise.all(members.map(({ args }) => start(args)))
  const gone = new Set<number>()
  const watch = (index: number): void =>
    void nodes[index]?.stopped.then(() => {
      gone.add(index)
    })
  for (const index of nodes.keys()) watch(index)
  const startStun = () =>
    startChild({
      command: process.execPath,
      args: [PEERAGE_BIN, 'stun', '--host', '127.0.0.1', '--port', '0'],
    })
  const stun = await startStun()
  const stunPort = await stun.line((line) => Number(/"port":(\d+)/.exec(line)?.[1] ?? 0) || undefined, 10_000)
  let stunEnded = false
  void stun.stopped.then(() => (stunEnded = true))
  return {
    redis,
    nodes,
    urls: nodes.slice(0, 2).map((node) => node.url),
    get tlsPort() {
      return nodes[2]?.port ?? 0
    },
    get originPort() {
      return nodes[3]?.port ?? 0
    },
    stunPort,
    linkPorts,
    certificates,
    malformed,
    revive: async () => {
      const dead: string[] = stunEnded ? ['the STUN server'] : []
      for (const index of gone) {
        const member = members[index]
        if (!member) continue
        dead.push(member.name)
        await nodes[index]?.stop()
        nodes[index] = await start(member.args)
        watch(index)
      }
      gone.clear()
      return dead
    },
    stop: async () => {
      await stun.stop()
      await Promise.all(nodes.map((node) => node.stop()))
      await redis.stop()
      await certificates.remove()
      hanging.closeAllConnections()
      hanging.close()
      await rm(folder, { recursive: true })
    },
  }
}

/** The resident memory of the largest node, in bytes. A node that has ended has none. */
export async function rssOf(testbed: Testbed): Promise<number> {
  const sizes = await Promise.all(
    testbed.nodes.map(async ({ pid }) => {
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1_024
    }),
  )
  return Math.max(...sizes)
}

export async function redisMemory(testbed: Testbed): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await testbed.redis.cli('INFO', 'memory'))?.[1] ?? 0)
}
