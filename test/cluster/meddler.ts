import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'

/** A proxy in front of Redis that can change what either side sends, and send commands in a connection's name. */
export interface Meddler {
  readonly url: string
  /** Sends a command on every connection whose first bytes contain `who`. Returns how many connections match. */
  say(who: string, ...command: string[]): number
  /** From now on, changes the data that Redis sends. */
  rewrite(change: (text: string) => string): void
  /** From now on, changes the data that is sent to Redis. */
  rewriteSaid(change: (text: string) => string): void
  stop(): Promise<void>
}

interface Link {
  near: Socket
  far: Socket
  said: string
}

/** How much of the start of a connection's data is kept. It contains the connection's name. */
const KEPT_BYTES = 4_096

export async function startMeddler(port: number): Promise<Meddler> {
  const links = new Set<Link>()
  let change: ((text: string) => string) | undefined
  let changeSaid: ((text: string) => string) | undefined
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    const link: Link = { near, far, said: '' }
    links.add(link)
    near.on('data', (bytes) => {
      if (link.said.length < KEPT_BYTES) link.said += bytes.toString('latin1')
      far.write(changeSaid ? Buffer.from(changeSaid(bytes.toString('latin1')), 'latin1') : bytes)
    })
    far.on('data', (bytes) => {
      near.write(change ? Buffer.from(change(bytes.toString('latin1')), 'latin1') : bytes)
    })
    const end = (): void => {
      links.delete(link)
      near.destroy()
      far.destroy()
    }
    for (const socket of [near, far]) socket.on('close', end).on('error', end)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the meddler has no port')
  return {
    url: `redis://127.0.0.1:${address.port}`,
    say: (who, ...command) => {
      const words = command.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
      const chosen = [...links].filter((link) => link.said.includes(who))
      for (const link of chosen) link.far.write(`*${words.length}\r\n${words.join('')}`)
      return chosen.length
    },
    rewrite: (next) => {
      change = next
    },
    rewriteSaid: (next) => {
      changeSaid = next
    },
    stop: async () => {
      for (const link of links) {
        link.near.destroy()
        link.far.destroy()
      }
      server.close()
      await once(server, 'close')
    },
  }
}
