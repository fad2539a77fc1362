import { randomBytes } from 'node:crypto'
import { type Socket, createSocket } from 'node:dgram'
import { once } from 'node:events'

// Asks a STUN server in a closed loop: each socket keeps `window` Binding requests under way.
// usage: load.js <port> <sockets> <window> <warm ms> <ms>; prints `begin`, then the totals as one JSON line.

const HOST = '127.0.0.1'
const RETRY_EVERY_MS = 100
const [port = 0, sockets = 0, window = 0, warmMs = 0, ms = 0] = process.argv.slice(2).map(Number)

interface Totals {
  sent: number
  answered: number
  bytesOut: number
  bytesIn: number
}

const totals: Totals = { sent: 0, answered: 0, bytesOut: 0, bytesIn: 0 }

/** One socket, connected so that a send needs no lookup, with one request that it sends again and again. */
async function open(): Promise<{ socket: Socket; retry: () => void }> {
  const socket = createSocket('udp4')
  socket.connect(port, HOST)
  await once(socket, 'connect')
  const request = Buffer.concat([Buffer.from('000100002112a442', 'hex'), randomBytes(12)])
  let answers = 0
  let answersAtCheck = -1
  const send = (): void => {
    totals.sent++
    totals.bytesOut += request.length
    socket.send(request)
  }
  socket.on('message', (answer) => {
    if (answer.readUInt16BE(0) !== 0x0101 || !answer.subarray(8, 20).equals(request.subarray(8))) {
      throw new Error(`not the answer: ${answer.toString('hex')}`)
    }
    answers++
    totals.answered++
    totals.bytesIn += answer.length
    send()
  })
  // Datagrams get lost when a queue is full; a loop that lost its whole window would stand still.
  const retry = (): void => {
    if (answers === answersAtCheck) for (let i = 0; i < window; i++) send()
    answersAtCheck = answers
  }
  for (let i = 0; i < window; i++) send()
  return { socket, retry }
}

const opened = await Promise.all(Array.from({ length: sockets }, open))
const timer = setInterval(() => {
  for (const { retry } of opened) retry()
}, RETRY_EVERY_MS)

const wait = (waitMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, waitMs))
await wait(warmMs)
const before = { ...totals }
const cpuBefore = process.cpuUsage()
const startMs = performance.now()
console.log('begin')
await wait(ms)
const tookMs = performance.now() - startMs
const cpu = process.cpuUsage(cpuBefore)
const answered = totals.answered - before.answered
console.log(
  JSON.stringify({
    answered,
    answeredPerSecond: (1000 * answered) / tookMs,
    sent: totals.sent - before.sent,
    ratio: (totals.bytesIn - before.bytesIn) / answered / 20,
    loadShare: (cpu.user + cpu.system) / 1000 / tookMs,
  }),
)
clearInterval(timer)
for (const { socket } of opened) socket.close()
