import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { startNode } from '@peerage/test-support/node.js'

// When a node dies, all its peers connect to the other nodes within a second. These are more than a node accepts at once.

/** More than Node's default backlog of 511. */
const AT_ONCE = 1_000
test('a thousand connections wait while the node is busy, and none is refused', async () => {
  const most = Number(await readFile('/proc/sys/net/core/somaxconn', 'utf8'))
  expect(most, 'net.core.somaxconn of this machine').toBeGreaterThanOrEqual(AT_ONCE)
  const node = await startNode()
  onTestFinished(() => node.stop())
  const sockets: Socket[] = []
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
  })
  await node.pause()
  // The kernel would retry a refused connection without success until the node runs again, so the test would time out.
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
