// Connections that are reset at every stage of every entrance, in a process of their own:
// node resets.mjs MS JSON, with { ports, admin, stun } in the JSON. Says what it did when it ends.
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { setPriority } from 'node:os'

setPriority(19)

const ms = Number(process.argv[2])
const { ports, admin, stun } = JSON.parse(process.argv[3])
const EVERY_MS = 5

const upgrade = (path, headers = '') =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n${headers}\r\n`
const get = (path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
/** A masked text frame of 100 bytes, of which half is sent. */
const halfFrame = Buffer.concat([Buffer.from([0x81, 0x80 | 100]), randomBytes(4), Buffer.alloc(50, 0x61)])
const NATIVE = '/peerage/?EIO=4&transport=websocket'
const PEERJS = () => `/peerjs?key=peerjs&id=reset-${randomBytes(6).toString('hex')}&token=t`
/** RFC 8489 §5: a Binding request. */
const binding = Buffer.concat([Buffer.from('000100002112a442', 'hex'), randomBytes(12)])

/** Stage: what is sent, to which port, and when the reset comes. */
const node = (i) => ports[i % ports.length]
const stages = {
  'before a byte': { port: node, send: () => '', after: 'connect' },
  'half an upgrade': { port: node, send: () => upgrade(NATIVE).slice(0, 60), after: 'soon' },
  'refused, 404': { port: node, send: () => upgrade('/nowhere'), after: 'soon' },
  'refused, 404, after the answer': { port: node, send: () => upgrade('/nowhere'), after: 'answer' },
  'refused, polling': { port: node, send: () => upgrade('/peerage/?EIO=4&transport=polling'), after: 'soon' },
  'refused, engine.io 3': {
    port: node,
    send: () => upgrade('/peerage/?EIO=3&transport=websocket'),
    after: 'answer',
  },
  'refused, a wrong key': { port: node, send: () => upgrade('/peerjs?key=v1&id=x&token=y'), after: 'answer' },
  'accepted, native': { port: node, send: () => upgrade(NATIVE), after: 'answer' },
  'accepted, PeerJS': { port: node, send: () => upgrade(PEERJS()), after: 'answer' },
  'amid a frame, native': { port: node, send: () => upgrade(NATIVE), follow: halfFrame, after: 'answer' },
  'amid a frame, PeerJS': { port: node, send: () => upgrade(PEERJS()), follow: halfFrame, after: 'answer' },
  'HTTP, after the request': { port: node, send: () => get('/readyz'), after: 'soon' },
  'HTTP, half a body': {
    port: node,
    send: () => 'POST /peerjs/id HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc',
    after: 'soon',
  },
  'PeerJS’s HTTP': { port: node, send: () => get('/peerjs/id'), after: 'answer' },
  admin: { port: () => admin, send: () => get('/metrics'), after: 'soon' },
  'admin, after the answer': { port: () => admin, send: () => get('/metrics'), after: 'answer' },
  'STUN over TCP': { port: () => stun, send: () => binding, after: 'soon' },
  'STUN over TCP, half a request': { port: () => stun, send: () => binding.subarray(0, 10), after: 'soon' },
  'STUN over TCP, after the answer': { port: () => stun, send: () => binding, after: 'answer' },
}

const done = Object.fromEntries(Object.keys(stages).map((name) => [name, 0]))
let refused = 0

function once(name, i) {
  const { port, send, follow, after } = stages[name]
  const socket = connect(port(i), '127.0.0.1')
  const reset = () => {
    if (socket.destroyed) return
    done[name]++
    socket.resetAndDestroy()
  }
  socket.on('error', () => refused++)
  socket.on('connect', () => {
    if (after === 'connect') return reset()
    socket.write(send())
    if (after === 'soon') setTimeout(reset, Math.random() * 3)
    else setTimeout(reset, 1_000)
  })
  socket.on('data', () => {
    if (after !== 'answer') return
    if (follow) socket.write(follow, reset)
    else reset()
  })
}

const names = Object.keys(stages)
const ends = Date.now() + ms
let i = 0
const timer = setInterval(() => {
  if (Date.now() < ends) return once(names[i % names.length], Math.floor(i++ / names.length))
  clearInterval(timer)
  setTimeout(() => {
    console.log(JSON.stringify({ done, refused }))
    process.exit(0)
  }, 1_500)
}, EVERY_MS)
