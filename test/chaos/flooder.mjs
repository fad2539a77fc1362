// One peer that floods a node, in its own process: node flooder.mjs URL message|ping|lookup|join MS
import { setPriority } from 'node:os'
import { WebSocket } from 'ws'

// The flooder stands for another machine: other peers shall wait for the node's handling of the flood, not for the CPU that
// the flooder uses.
setPriority(19)

const [url, kind, ms] = process.argv.slice(2)
const EVERY_MS = 20
// 5,000 a second, which is five times the limit of a connection.
const A_TIME = 100
const ends = Date.now() + Number(ms)
const codes = {}
const answers = {}
let refused = 0

function again(serial) {
  if (Date.now() >= ends) return finish()
  const ws = new WebSocket(`${url.replace('http', 'ws')}/peerage/?EIO=4&transport=websocket`)
  let timer
  ws.on('error', () => refused++)
  ws.on('close', (code) => {
    clearInterval(timer)
    codes[code] = (codes[code] ?? 0) + 1
    setTimeout(() => again(serial + 1), kind === 'join' ? 0 : 50)
  })
  ws.on('message', (data) => {
    const frame = Buffer.from(data).toString()
    if (frame.startsWith('0'))
      ws.send(`40${JSON.stringify({ v: 1, name: `flooder-${kind}-${serial}`, secret: 's'.repeat(22) })}`)
    const [, type] = /^42\["(\w+)"/.exec(frame) ?? []
    if (type !== undefined) answers[type] = (answers[type] ?? 0) + 1
    if (type !== 'welcome') return
    if (kind === 'join') return ws.terminate()
    timer = setInterval(() => {
      if (Date.now() >= ends) return ws.terminate()
      for (let i = 0; i < A_TIME && ws.readyState === WebSocket.OPEN; i++) flood(ws, i)
    }, EVERY_MS)
  })
}

function flood(ws, i) {
  const send = { to: 'x', since: 1, stream: 'A'.repeat(11), seq: i + 1, base: 1, kind: 'message', body: 'x' }
  if (kind === 'ping') ws.ping()
  else if (kind === 'lookup') ws.send(`42["lookup",{"id":${i},"names":["n${i}"]}]`)
  else ws.send(`42["send",${JSON.stringify(send)}]`)
}

function finish() {
  console.log(JSON.stringify({ kind, codes, answers, refused }))
  process.exit(0)
}

again(0)
