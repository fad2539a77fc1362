// What every house does: embeds a node, says its port, and ends on SIGTERM.
import { createPeerage } from '@peerage/server'
import { WebSocketServer } from 'ws'

export const HELLO = 'hello from the application'

/** A node for this process: open to everyone, on the embedded registry. */
const peerage = createPeerage({ open: true })
const order = process.env.ATTACH ?? 'before'

/** Attaches the node before the application's own WebSockets. */
export function before(server) {
  if (order === 'before') peerage.attach(server)
}

/** Attaches it after them. */
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

/** Tells the test where the house is, and ends it on SIGTERM as the README shows. */
export function open(server, close = () => server.close()) {
  console.log(`ready ${server.address().port}`)
  const end = async () => {
    await peerage.drain()
    await close()
    // Keep-alive connections of a test's fetch would hold the process.
    server.closeAllConnections?.()
  }
  process.once('SIGTERM', () => void end())
}
