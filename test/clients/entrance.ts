import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

interface Address {
  readonly host: string
  readonly port: number
}

/** An address in front of the nodes, as a balancer has it, whose next connections go to the node that the test chooses. */
export interface Entrance {
  /** `ws://127.0.0.1:PORT`. */
  readonly url: string
  turnTo(node: Address): void
  stop(): Promise<void>
}

export async function startEntrance(first: Address): Promise<Entrance> {
  let target = first
  const open = new Set<Socket>()
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: target.host, port: target.port, noDelay: true })
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(socket)
      socket.pipe(other)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        open.delete(socket)
        other.destroy()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    turnTo: (node) => {
      target = node
    },
    stop: async () => {
      for (const socket of open) socket.destroy()
      server.close()
    },
  }
}
