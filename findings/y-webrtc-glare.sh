#!/usr/bin/env bash
# y-webrtc 10.3.0: two peers that hear each other's announcement may get a connection that is open and carries nothing.
#
# Each side then makes a simple-peer as initiator and sends an offer. The side with the lower token takes the other's offer
# into its initiator, and answers. But simple-peer listens to `ondatachannel` only if it is no initiator. So each side has
# its own data channel, sends on it, and ignores the one that the other side opened: `connected` is true, `synced` never
# comes, and the documents stay different until a page is loaded again. Announcements later change nothing, because both
# sides have a connection for the other. In other orders of the same frames the first connection fails, and either a later
# one works, or an answer comes for a connection that is gone: "Cannot set properties of undefined (setting 'glareToken')"
# in the handler of frames, which ends a process of Node.
# y-webrtc's own server hands on `subscribe` and `publish` of a socket in one go, so of two newcomers only one hears the
# other, unless they have a password (then the announcement comes later), or a connection that they had ends on both sides.
#
# Seen on 2026-11-30 with node 20.20.2 and node-datachannel 0.33.4, on busy cores, and between two pages of Chromium 156.
#
# Exits with 0 while this is so in at least one of six rounds, and with 1 otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts \
  y-webrtc@10.3.0 yjs@13.6.33 ws@8.23.0 node-datachannel@0.33.4

cat >peer.mjs <<'END'
import * as polyfill from 'node-datachannel/polyfill'
import { WebSocket } from 'ws'
import { WebrtcProvider } from 'y-webrtc'
import * as Y from 'yjs'

globalThis.WebSocket = WebSocket
// simple-peer writes into descriptions, which node-datachannel does not allow.
const plain = ({ type, sdp }) => ({ type, sdp })
class RTCPeerConnection extends polyfill.RTCPeerConnection {
  createOffer = async (options) => plain(await super.createOffer(options))
  createAnswer = async (options) => plain(await super.createAnswer(options))
}
const text = new Y.Doc().getText()
const provider = new WebrtcProvider('room', text.doc, {
  signaling: [process.argv[2]],
  filterBcConns: false,
  peerOpts: { config: { iceServers: [] }, wrtc: { ...polyfill, RTCPeerConnection } },
})
text.insert(0, process.argv[3])
process.on('message', () => {
  const [connection] = provider.room.webrtcConns.values()
  process.send({ connected: connection?.connected ?? false, synced: connection?.synced ?? false, text: text.toString() })
})
END

cat >relay.mjs <<'END'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { WebSocketServer } from 'ws'

const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
await once(server, 'listening')
const url = `ws://127.0.0.1:${server.address().port}`
const subscribed = new Set()
const held = []
server.on('connection', (socket) => {
  socket.on('close', () => subscribed.delete(socket))
  socket.on('message', (data) => {
    const { type, topics } = JSON.parse(data)
    if (type === 'subscribe' && topics.length > 0) subscribed.add(socket)
    if (type === 'publish') held.push(String(data))
    // The only difference to y-webrtc's server: publications wait until both peers have subscribed.
    if (subscribed.size < 2) return
    for (const text of held.splice(0)) subscribed.forEach((socket) => socket.send(text))
  })
})

async function round() {
  const peers = ['a', 'b'].map((letter) => fork('peer.mjs', [url, letter], { stdio: 'ignore' }))
  let ended = false
  for (const peer of peers) peer.once('exit', () => (ended = true))
  let result = ''
  for (let second = 0; second < 12 && !ended; second++) {
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    const states = peers.map(async (peer) => {
      peer.send('state', () => {})
      const [state] = await Promise.race([once(peer, 'message'), once(peer, 'exit')])
      return state
    })
    const [a, b] = await Promise.all(states)
    if (ended) break
    if (a.synced && b.synced) result = 'synced'
    else if (a.connected && b.connected) result = 'connected, not synced'
    else result = 'not connected'
    if (result === 'synced') break
  }
  peers.forEach((peer) => peer.kill('SIGKILL'))
  return ended ? 'a process ended' : result
}

const results = []
for (let n = 0; n < 6; n++) {
  held.length = 0
  subscribed.clear()
  results.push(await round())
  console.log(results.at(-1))
}
process.exit(results.includes('connected, not synced') ? 0 : 1)
END
if timeout 150 node relay.mjs; then
  echo 'still so: connected for 12 s, and not synced'
else
  echo 'changed'
  exit 1
fi
