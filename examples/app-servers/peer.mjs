// A peer: node peer.mjs NAME URL [OTHER]. URL is any of the application servers, with or without a node.
import { connect } from '@peerage/client'

const [name, url, other] = process.argv.slice(2)
const peer = await connect(await tierOf(url), { name })
console.log(`${name} is online; P2P server ${peer.p2p?.p2pServer}`)
peer.p2p.on('channel-opened', (channel) => {
  channel.on('message', (text) => console.log(`${channel.peer}, directly:`, text))
})
peer.on('message', (from, text) => console.log(`${from}:`, text))

if (other !== undefined) {
  const channel = await peer.p2p.connect(other)
  await channel.send(`hello, this is ${name}`)
  console.log(`channel to ${other}: ${(await channel.info()).path}`)
}

/** Returns the address of the cluster. A server without a node answers with it as JSON. */
async function tierOf(address) {
  const response = await fetch(address)
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
  return isJson ? ((await response.json()).peerage ?? address) : address
}
