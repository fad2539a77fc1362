import { startHaproxy, type Haproxy } from '../support/haproxy.js'
import { startNode, type Node } from '../support/node.js'
import { freePort } from '../support/ports.js'
import { startRedis, type RedisServer } from '../support/redis.js'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js'

/** One place for a node: its port stays, so that the balancer finds the next process there. */
export interface Seat {
  readonly index: number
  readonly port: number
  /** The node's own way to Redis, to be cut alone. */
  readonly redisLink: TcpProxy
  node: Node
  /** Starts a new process in this seat; the former one has ended. */
  restart(): Promise<void>
}

/** Everything that runs: real processes, on loopback. */
export interface Stage {
  readonly redis: RedisServer
  readonly seats: readonly Seat[]
  readonly haproxy: Haproxy
  /** A way to the balancer that can go bad: some of the peers take it. */
  readonly peerLink: TcpProxy
  stop(): Promise<void>
}

export async function startStage(options: { nodes: number; seed: number }): Promise<Stage> {
  const redis = await startRedis()
  const seats: Seat[] = []
  for (let index = 0; index < options.nodes; index++) {
    const redisLink = await startTcpProxy({ target: redis, seed: options.seed + index })
    const port = await freePort()
    const start = (): Promise<Node> =>
      startNode({
        redisUrl: `redis://${redisLink.host}:${redisLink.port}`,
        args: ['--port', String(port), '--use-as-p2p-server', 'false'],
      })
    const seat: Seat = {
      index,
      port,
      redisLink,
      node: await start(),
      restart: async () => {
        await seat.node.stop()
        seat.node = await start()
      },
    }
    seats.push(seat)
  }
  const haproxy = await startHaproxy({ backends: seats.map(({ port }) => ({ host: '127.0.0.1', port })) })
  await Promise.all(seats.map(({ index }) => haproxy.until(index, 'UP')))
  const peerLink = await startTcpProxy({ target: haproxy, seed: options.seed + 100 })
  return {
    redis,
    seats,
    haproxy,
    peerLink,
    stop: async () => {
      await peerLink.stop()
      await haproxy.stop()
      await Promise.all(seats.map((seat) => seat.node.stop()))
      await Promise.all(seats.map((seat) => seat.redisLink.stop()))
      await redis.stop()
    },
  }
}
