// Runs a program of this folder in Node: `node node.mjs y-webrtc`. Commands come as JSON lines on standard input, and
// answers go as JSON lines to standard output.
import { register } from 'node:module'
import process from 'node:process'
import { createInterface } from 'node:readline'
import * as polyfill from 'node-datachannel/polyfill'
import { WebSocket } from 'ws'

/** simple-peer 9 (of y-webrtc) writes into the descriptions that it gets. In browsers that has worked; here it throws. */
class Connection extends polyfill.RTCPeerConnection {
  async createOffer(options) {
    return plain(await super.createOffer(options))
  }
  async createAnswer(options) {
    return plain(await super.createAnswer(options))
  }
}
const plain = ({ type, sdp }) => ({ type, sdp })

// What a browser has. Node 20 has no WebSocket.
Object.assign(globalThis, { wrtc: { ...polyfill, RTCPeerConnection: Connection }, WebSocket })
register('./uint8-util-hook.mjs', import.meta.url)
const { peer } = await import(`./${process.argv[2]}.mjs`)
const answer = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

answer({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const { id, does, ...options } = JSON.parse(line)
  Promise.resolve()
    .then(() => peer[does](options))
    .then((result) => answer({ id, result }))
    .catch((error) => answer({ id, error: String(error?.stack ?? error) }))
}
process.exit(0)
