#!/usr/bin/env bash
# y-webrtc 10.3.0: two peers that hear each other's announcement get a connection that says it is open, and carries nothing.
#
# Each side then makes a simple-peer as initiator and sends an offer. The side with the lower token takes the other's offer
# into its initiator, and answers. But simple-peer listens to `ondatachannel` only if it is no initiator. So each side has
# its own data channel, sends on it, and ignores the one that the other side opened: `connected` is true, `synced` never
# comes, and the documents stay different until a page is loaded again. Announcements later change nothing, because both
# sides have a connection for the other. y-webrtc's own server hands `subscribe` and `publish` of a socket on in one go, so
# of two newcomers only one hears the other, unless both have a password (then the announcement comes later) or a connection
# that they had ends on both sides.
#
# Seen on 2026-11-30: node 20.20.2 with node-datachannel 0.33.4, and Chromium 156. With the order below: 5 of 5.
#
# Exits with 0 while this is so, and with 1 when it has changed.
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
const subscribed = new Set()
const held = []
const publish = (text) => subscribed.forEach((socket) => socket.send(text))
server.on('connection', (socket) =>
  socket.on('message', (data) => {
    const { type, topics } = JSON.parse(data)
    if (type === 'subscribe' && topics.length > 0) subscribed.add(socket)
    if (type === 'publish') held.push(String(data))
    // The only difference to the reference server: publications wait until both peers have subscribed.
    if (subscribed.size === 2) held.splice(0).forEach(publish)
  }),
)
const url = `ws://127.0.0.1:${server.address().port}`
const peers = ['a', 'b'].map((letter) => fork('peer.mjs', [url, letter]))
const states = async () => {
  peers.forEach((peer) => peer.send('state'))
  return (await Promise.all(peers.map((peer) => once(peer, 'message')))).map(([state]) => state)
}
let now
for (let second = 0; second < 15; second++) {
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  now = await states()
  if (now.every(({ synced }) => synced)) break
}
console.log(now)
peers.forEach((peer) => peer.kill('SIGKILL'))
process.exit(now.every(({ connected, synced }) => connected && !synced) ? 0 : 1)
END
if timeout 60 node relay.mjs; then
  echo 'still so: connected for 15 s, and not synced'
else
  echo 'changed'
  exit 1
fi
