// One peer in its own process, so that it can run in a network namespace. It reports events as JSON lines. Its only argument
// is JSON: { client, url, name, relayOnly?, stack?, throughTurn? }. It waits for calls, and makes a call for each line on its
// standard input: { call, say, deadlineMs?, hangUp? }.
import process from 'node:process'
import { createInterface } from 'node:readline'

const { client, url, name, relayOnly, stack, throughTurn } = JSON.parse(process.argv[2])
const { connect } = await import(client)
// The package whose RTCPeerConnection the SDK gets. If absent, the SDK finds one by itself.
const found = stack === undefined ? undefined : await import(stack)
let RTCPeerConnection = found?.RTCPeerConnection ?? found?.default.RTCPeerConnection
if (throughTurn) {
  const base = await (
    await import(new URL('../platform/node-rtc.js', `file://${client}`))
  ).loadNodeDataChannel()
  // The peer signals only relayed candidates, so there is no channel if TURN gives it none. This hides no address: the peer
  // also sends from its own.
  RTCPeerConnection = class extends base {
    constructor(configuration) {
      super({ ...configuration, iceTransportPolicy: 'relay' })
    }
  }
}
const tell = (event, details) => process.stdout.write(`${JSON.stringify({ event, ...details })}\n`)

const peer = await connect(url, { name, p2p: { relayOnly, RTCPeerConnection } })
peer.on('message', (from, data) => tell('message', { from, data }))
peer.p2p?.on('outcome', (outcome) => tell('outcome', outcome))
peer.on('error', (error) => tell('error', { error: String(error) }))
peer.p2p?.on('channel-opened', async (channel) => {
  channel.on('message', (data) => tell('channel-message', { from: channel.peer, data }))
  const { path, local, remote } = await channel.info()
  tell('opened', { peer: channel.peer, path, local, remote })
})
tell('online', { node: peer.state.node, p2pServer: peer.p2p?.p2pServer ?? null })

for await (const line of createInterface({ input: process.stdin })) {
  const { call, say, deadlineMs, hangUp } = JSON.parse(line)
  const startedAt = performance.now()
  const ms = () => Math.round(performance.now() - startedAt)
  try {
    const channel = await peer.p2p.connect(call, { deadlineMs })
    const opened = ms()
    const info = await channel.info()
    await channel.send(say)
    if (hangUp) await channel.close()
    tell('result', { said: say, path: info.path, ms: opened, local: info.local, remote: info.remote })
  } catch (error) {
    const failed = ms()
    await peer.send(call, say)
    tell('result', {
      said: say,
      path: 'server',
      ms: failed,
      stage: error.stage ?? String(error),
      error: String(error),
      sendMs: ms() - failed,
    })
  }
}
