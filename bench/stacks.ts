import { randomBytes } from 'node:crypto'
import { SignJWT, exportSPKI, generateKeyPair } from 'jose'
import { startProcess, REPOSITORY, type BenchProcess } from './lib/processes.js'
import { startBenchRedis, type BenchRedis } from './lib/redis.js'
import type { WireName } from './loads/wire.js'

/** One stack as a user would run it: some nodes, and its own Redis if it uses one. */
export interface Stack {
  wire: WireName
  nodes: readonly BenchProcess[]
  ports: readonly number[]
  redis: BenchRedis | undefined
  /** Whether the wire acknowledges end to end. */
  acknowledges: boolean
  /** The access token that its peers need. */
  token: string | undefined
  /** Whether the nodes also have direct links to each other. */
  links: boolean
  stop(): Promise<void>
}

export type StackName =
  | 'peerage'
  | 'peerage, plain links'
  | 'peerage, links off'
  | 'peerage, connects not limited'
  | 'peerage, with the API'
  | 'peerage, HS256 tokens'
  | 'peerage, ES256 tokens'
  | 'peerage as PeerJS'
  | 'peerage as PeerJS, links off'
  | 'peerage as PeerJS, one node in memory'
  | 'socket.io'
  | 'socket.io, request dropped'
  | 'socket.io, classic adapter'
  | 'socket.io, sharded adapter'
  | 'socket.io, classic adapter, emitWithAck'
  | 'ws + PUBLISH'
  | 'peer'

interface Recipe {
  wire: WireName
  script: string
  args: readonly string[]
  redis: boolean
  /** Makes the token of the peers, and the settings of the node that takes it. */
  access?: () => Promise<{ token: string; args: readonly string[] }>
}

const peer = (file: string): string => `${REPOSITORY}bench/dist/bench/peers/${file}`
const socketio = (redis: boolean, ...args: string[]): Recipe => ({
  wire: args.includes('--ack') ? 'socketio-ack' : 'socketio',
  script: peer('socketio.js'),
  args,
  redis,
})

/**
 * All limits of Peerage stay on. Where a row says so, some of them are raised, because here ten thousand peers connect
 * from one machine at once: the PeerJS connections of a node (peer's own limit is raised, too) and the new connections
 * per second of a node. A PeerJS pair may also send more messages: in a closed loop nobody waits, and a server that serves
 * only some pairs for a while would let these exceed the rates of a connection.
 */
const MORE_PEERJS = [
  '--peerjs-concurrent-limit',
  '100000',
  '--limits-connection-messages-per-second',
  '100000',
  '--limits-name-messages-per-second',
  '100000',
  '--limits-connection-signal-bytes-per-second',
  '100000000',
]
export const MORE_CONNECTS = ['--limits-node-connects-per-second', '100000']
/** Links between nodes use TLS, as by default. */
export const LINKS = ['--links-host', '127.0.0.1']
const peerage = (wire: WireName, redis: boolean, ...more: string[]): Recipe => ({
  wire,
  script: `${REPOSITORY}packages/server/bin/peerage.js`,
  args: ['serve', '--port', '0', '--admin-port', '0', '--host', '127.0.0.1', '--open', ...more],
  redis,
})

const RECIPES: Readonly<Record<StackName, Recipe>> = {
  peerage: peerage('peerage', true, ...LINKS),
  'peerage, plain links': peerage('peerage', true, ...LINKS, '--links-plain'),
  'peerage, links off': peerage('peerage', true),
  'peerage, connects not limited': peerage('peerage', true, ...LINKS, ...MORE_CONNECTS),
  'peerage, with the API': peerage(
    'peerage',
    true,
    ...LINKS,
    ...MORE_CONNECTS,
    '--api-keys',
    'a-key-of-the-bench-for-the-api',
  ),
  'peerage, HS256 tokens': {
    ...peerage('peerage', true, ...LINKS, ...MORE_CONNECTS),
    access: () => tokenFor('HS256'),
  },
  'peerage, ES256 tokens': {
    ...peerage('peerage', true, ...LINKS, ...MORE_CONNECTS),
    access: () => tokenFor('ES256'),
  },
  'peerage as PeerJS': peerage('peerjs', true, ...LINKS, ...MORE_PEERJS, ...MORE_CONNECTS),
  'peerage as PeerJS, links off': peerage('peerjs', true, ...MORE_PEERJS, ...MORE_CONNECTS),
  'peerage as PeerJS, one node in memory': peerage('peerjs', false, ...MORE_PEERJS, ...MORE_CONNECTS),
  'socket.io': socketio(false),
  'socket.io, request dropped': socketio(false, '--tuned'),
  'socket.io, classic adapter': socketio(true, '--adapter', 'classic'),
  'socket.io, sharded adapter': socketio(true, '--adapter', 'sharded'),
  'socket.io, classic adapter, emitWithAck': socketio(true, '--adapter', 'classic', '--ack'),
  'ws + PUBLISH': { wire: 'publish', script: peer('ws-publish.js'), args: [], redis: true },
  peer: { wire: 'peerjs', script: peer('peerjs-server.js'), args: [], redis: false },
}

export async function startStack(name: StackName, nodes: number): Promise<Stack> {
  const { wire, access, args, ...recipe } = RECIPES[name]
  const given = await access?.()
  const started = await startNodes({ ...recipe, args: [...args, ...(given?.args ?? [])] }, nodes)
  const acknowledges = wire === 'peerage' || wire === 'socketio-ack'
  const links = args.includes('--links-host')
  return { ...started, wire, acknowledges, token: given?.token, links }
}

/** The processes of a stack, whatever its wire. */
export async function startNodes(
  { script, args, redis: withRedis }: Pick<Recipe, 'script' | 'args' | 'redis'>,
  nodes: number,
): Promise<Pick<Stack, 'nodes' | 'ports' | 'redis' | 'stop'>> {
  const redis = withRedis ? await startBenchRedis() : undefined
  const started: BenchProcess[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((node) => node.stop()))
    await redis?.stop()
  }
  try {
    const redisArgs = redis === undefined ? [] : ['--redis', redis.url]
    for (let index = 0; index < nodes; index++)
      started.push(await startProcess({ script, args: [...args, ...redisArgs] }))
    return { nodes: started, ports: started.map(portOf), redis, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A token for every name of the load. The node has the key in its settings, and keeps no verdicts. */
async function tokenFor(alg: 'HS256' | 'ES256'): Promise<{ token: string; args: readonly string[] }> {
  const claims = new SignJWT({ peerage: { claim: { prefixes: ['g'] } } })
    .setProtectedHeader({ alg })
    .setSubject('load')
    .setAudience('default')
    .setExpirationTime('55 minutes')
  const mode = ['--access-mode', 'token', '--access-token-algorithms', alg]
  if (alg === 'HS256') {
    const secret = randomBytes(32).toString('base64url')
    const token = await claims.sign(new TextEncoder().encode(secret))
    return { token, args: [...mode, '--access-token-secret', secret] }
  }
  const { privateKey, publicKey } = await generateKeyPair(alg)
  return {
    token: await claims.sign(privateKey),
    args: [...mode, '--access-token-public-key', await exportSPKI(publicKey)],
  }
}

export function portOf(node: BenchProcess): number {
  const port = node.ready['port']
  if (typeof port !== 'number') throw new Error(`the ready line names no port: ${JSON.stringify(node.ready)}`)
  return port
}

export const startLoad = (file = 'load'): Promise<BenchProcess> =>
  startProcess({ script: `${REPOSITORY}bench/dist/bench/loads/${file}.js` })
