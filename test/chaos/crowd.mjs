// Peers that lose their node and reconnect, in their own process: node crowd.mjs COUNT FIRST NEXT…
// Prints `open` when all hold their names at FIRST, and the result when all are back at one of the others.
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'

const [count, first, ...next] = process.argv.slice(2)
const A_TIME = 100
const refusals = {}
let back = 0
let began
let lastMs = 0

/** Resolves when the name is claimed. Rejects if the socket or the claim is refused. */
function open(url, name) {
  const ws = new WebSocket(`${url.replace('http', 'ws')}/peerage/?EIO=4&transport=websocket`)
  return new Promise((resolve, reject) => {
    ws.on('error', reject)
    ws.on('close', (code) => reject(new Error(`closed ${code}`)))
    ws.on('message', (data) => {
      const frame = Buffer.from(data).toString()
      if (frame === '2') ws.send('3')
      else if (frame.startsWith('0')) ws.send(`40${JSON.stringify({ v: 1, name, secret: 's'.repeat(22) })}`)
      else if (frame.startsWith('42["welcome"')) resolve(ws)
      else if (frame.startsWith('44')) {
        reject(new Error(frame.slice(0, 80)))
        ws.terminate()
      }
    })
  })
}

async function comeBack(name, url) {
  began ??= performance.now()
  // The SDK's schedule: full jitter over 1 s, then doubled.
  for (let ceilingMs = 1_000; ; ceilingMs = Math.min(15_000, ceilingMs * 2)) {
    await delay(Math.random() * ceilingMs)
    try {
      await open(url, name)
      back++
      lastMs = performance.now() - began
      return
    } catch (error) {
      refusals[String(error)] = (refusals[String(error)] ?? 0) + 1
    }
  }
}

const names = Array.from({ length: Number(count) }, (_, i) => `crowd-${i}`)
const ends = []
for (let i = 0; i < names.length; i += A_TIME) {
  const sockets = await Promise.all(names.slice(i, i + A_TIME).map((name) => open(first, name)))
  ends.push(...sockets.map((ws) => once(ws, 'close')))
}
console.log('open')
await Promise.all(ends.map((end, i) => end.then(() => comeBack(names[i], next[i % next.length]))))
console.log(JSON.stringify({ back, lastMs, refusals }))
process.exit(0)
