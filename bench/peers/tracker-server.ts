/** bittorrent-tracker@11.2.3 as its documentation starts it, with WebSockets only. */
import Server from 'bittorrent-tracker/server'

const server = new Server({ udp: false, http: false, ws: true, stats: false })
server.on('error', (error: Error) => {
  throw error
})
server.on('listening', () => {
  const address = server.ws.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  console.log(JSON.stringify({ msg: 'ready', url: `http://127.0.0.1:${address.port}`, port: address.port }))
})
server.listen(0, '127.0.0.1')
