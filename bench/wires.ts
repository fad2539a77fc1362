import type { BenchProcess } from './lib/processes.js'
import { REPOSITORY } from './lib/processes.js'
import { LINKS, MORE_CONNECTS, startLoad, startNodes, type Stack } from './stacks.js'

/** The wires whose peers have no names, and that have a reference server on npm. */
export type WireOfPages = 'y-webrtc' | 'webtorrent'

/** The server of a wire: the reference, or nodes of Peerage with their own data or with Redis. */
export type Servers = 'reference' | 'one node in memory' | 'one node' | 'two nodes'

const REFERENCES: Readonly<Record<WireOfPages, string>> = {
  'y-webrtc': 'y-webrtc-server.js',
  webtorrent: 'tracker-server.js',
}
/** Where a node of Peerage serves each wire. The references take every path. */
const PATHS: Readonly<Record<WireOfPages, string>> = {
  'y-webrtc': '/y-webrtc/default',
  webtorrent: '/announce/default',
}
const NODE = ['serve', '--port', '0', '--admin-port', '0', '--host', '127.0.0.1', '--open']
const WIRES = ['--y-webrtc', '--webtorrent']

/** In a closed loop no peer waits, and all peers are in one app. */
const MORE_MESSAGES = [
  '--limits-app-messages-per-second',
  '0',
  '--limits-app-bytes-per-second',
  '0',
  '--limits-connection-messages-per-second',
  '0',
  '--limits-connection-signal-bytes-per-second',
  '0',
]

const ANSWER_MS = 120_000

/** Servers with the peers of one wire, all in one load process. */
export interface PageLoad {
  readonly nodes: Stack['nodes']
  readonly redis: Stack['redis']
  /** Opens `count` peers, `perGroup` in each topic or swarm, over all nodes in turns. */
  open: (count: number, perGroup: number) => Promise<void>
  ask: (command: string, options: Record<string, unknown>) => ReturnType<BenchProcess['ask']>
  stop: () => Promise<void>
}

function startServers(wire: WireOfPages, servers: Servers): ReturnType<typeof startNodes> {
  if (servers === 'reference') {
    const script = `${REPOSITORY}bench/dist/bench/peers/${REFERENCES[wire]}`
    return startNodes({ script, args: [], redis: false }, 1)
  }
  const redis = servers !== 'one node in memory'
  const args = [...NODE, ...WIRES, ...MORE_CONNECTS, ...MORE_MESSAGES, ...(redis ? LINKS : [])]
  const script = `${REPOSITORY}packages/server/bin/peerage.js`
  return startNodes({ script, args, redis }, servers === 'two nodes' ? 2 : 1)
}

export async function startPageLoad(wire: WireOfPages, servers: Servers): Promise<PageLoad> {
  const { nodes, ports, redis, stop } = await startServers(wire, servers)
  try {
    const load = await startLoad('anonymous')
    const ask: PageLoad['ask'] = (command, options) => load.ask('load', command, options, ANSWER_MS)
    return {
      nodes,
      redis,
      ask,
      open: async (count, perGroup) => {
        await ask('open', { wire, count, perGroup, ports, path: PATHS[wire] })
      },
      stop: async () => {
        await load.stop()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}
