// An application server without a node, which only tells its pages where the cluster is.
import { createServer } from 'node:http'
import { settings, untilTold } from './settings.mjs'

const { port, tier } = settings()
const server = createServer((request, response) => {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ peerage: tier }))
})
server.listen(port, '127.0.0.1', () => {
  console.log(JSON.stringify({ msg: 'ready', port: server.address().port }))
})

await untilTold()
server.close()
