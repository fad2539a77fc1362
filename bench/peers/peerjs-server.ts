/** peer@1.0.2 as its documentation starts it, except that its limit of 5,000 connections is raised. */
import { PeerServer } from 'peer'

const CONCURRENT_LIMIT = 100_000

PeerServer({ port: 0, host: '127.0.0.1', path: '/', concurrent_limit: CONCURRENT_LIMIT }, (server) => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  console.log(JSON.stringify({ msg: 'ready', url: `http://127.0.0.1:${address.port}`, port: address.port }))
})
