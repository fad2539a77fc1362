// Connects two networks that share files: node relay.mjs LISTEN CONNECT, each a Unix socket's path or host:port. Prints
// one line when it listens. It runs inside network namespaces.
import { connect, createServer } from 'node:net'

const [listen = '', target = ''] = process.argv.slice(2)
const server = createServer({ allowHalfOpen: true }, (near) => {
  const far = connect({ ...address(target), allowHalfOpen: true })
  near.pipe(far).pipe(near)
  // An error on one side ends the other side. An orderly end goes through the pipes.
  near.on('error', () => far.destroy())
  far.on('error', () => near.destroy())
})
server.listen(address(listen), () => console.log('listening'))

/** @param {string} text */
function address(text) {
  if (text.startsWith('/')) return { path: text }
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) }
}
