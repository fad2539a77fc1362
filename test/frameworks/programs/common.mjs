// Shared by all programs: embeds a node, prints the port, and ends on SIGTERM.
import { createPeerage } from '@peerage/server'
import { WebSocketServer } from 'ws'

export const HELLO = 'hello from the application'

/** The node of this process. It is open to everyone and uses the registry in memory. */
const peerage = createPeerage({ open: true })
const order = process.env.ATTACH ?? 'before'

/** Attaches the node before the application's own WebSockets. */
export function before(server) {
  if (order === 'before') peerage.attach(server)
}

/** Attaches the node after the application's own WebSockets. */
export function after(server) {
  if (order === 'after') peerage.attach(server)
}

/** The application's own WebSocket server on the same HTTP server: it echoes at /own. */
export function ownWebSockets(server) {
  const own = new WebSocketServer({ server, path: '/own' })
  own.on('connection', (socket) => {
    socket.on('error', console.error)
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
  own.on('error', console.error)
}

/** Tells the test the port, and ends the program on SIGTERM as the README shows. */
export function open(server, close = () => server.close()) {
  console.log(`ready ${server.address().port}`)
  const end = async () => {
    await peerage.drain()
    await close()
    // Otherwise keep-alive connections of the test's fetch would keep the process running.
    server.closeAllConnections?.()
  }
  process.once('SIGTERM', () => void end())
}
