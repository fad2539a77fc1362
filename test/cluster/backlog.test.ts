import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { startNode } from '@peerage/test-support/node.js'

// When a node dies, all its peers come to the others within a second: more than those accept in a moment.

/** Node's own backlog is 511. */
const AT_ONCE = 1_000
test('a thousand connections wait while the node is busy, and none of them is turned away', async () => {
  const most = Number(await readFile('/proc/sys/net/core/somaxconn', 'utf8'))
  expect(most, 'net.core.somaxconn of this machine').toBeGreaterThanOrEqual(AT_ONCE)
  const node = await startNode()
  onTestFinished(() => node.stop())
  const sockets: Socket[] = []
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
  })
  await node.pause()
  // One that is turned away asks again and again, and is turned away as long as the node does not run.
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      const socket = connect(node.port, node.host)
      sockets.push(socket)
      await once(socket, 'connect')
    }),
  )
  await node.resume()
  expect((await fetch(`${node.url}/healthz`)).status).toBe(200)
})
