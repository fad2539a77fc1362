/** A load generator process that asks a STUN server in a closed loop: each socket keeps a window of requests in flight. */
import { randomBytes } from 'node:crypto'
import { type Socket, createSocket } from 'node:dgram'
import { once } from 'node:events'
import { answerCommands, type Numbers } from '../lib/channel.js'
import { asNumber } from './wire.js'

const HOST = '127.0.0.1'
/** A full queue drops datagrams. A socket that lost its whole window sends it again after this time. */
const STALLED_AFTER_MS = 100
/** The head of a Binding request without attributes, up to its transaction id (RFC 8489 section 5). */
const REQUEST_HEAD = Buffer.from('000100002112a442', 'hex')
const BINDING_SUCCESS = 0x0101

interface Totals {
  sent: number
  answered: number
  bytesOut: number
  bytesIn: number
}

/** A socket that sends one request again and again. It is connected, so that a send needs no lookup. */
class Loop {
  readonly #socket: Socket = createSocket('udp4')
  readonly #request = Buffer.concat([REQUEST_HEAD, randomBytes(12)])
  readonly #totals: Totals
  readonly #window: number
  #answers = 0
  #answersAtCheck = 0

  constructor(totals: Totals, window: number) {
    this.#totals = totals
    this.#window = window
  }

  async start(port: number): Promise<void> {
    this.#socket.connect(port, HOST)
    await once(this.#socket, 'connect')
    this.#socket.on('message', (answer) => this.#take(answer))
    this.#sendWindow()
  }

  restartIfStalled(): void {
    if (this.#answers === this.#answersAtCheck) this.#sendWindow()
    this.#answersAtCheck = this.#answers
  }

  close(): void {
    this.#socket.close()
  }

  #take(answer: Buffer): void {
    if (answer.readUInt16BE(0) !== BINDING_SUCCESS || answer.compare(this.#request, 8, 20, 8, 20) !== 0) {
      throw new Error(`not the answer: ${answer.toString('hex')}`)
    }
    this.#answers++
    this.#totals.answered++
    this.#totals.bytesIn += answer.length
    this.#send()
  }

  #sendWindow(): void {
    for (let i = 0; i < this.#window; i++) this.#send()
  }

  #send(): void {
    this.#totals.sent++
    this.#totals.bytesOut += this.#request.length
    this.#socket.send(this.#request)
  }
}

async function run(options: Readonly<Record<string, unknown>>): Promise<Numbers> {
  const [port, ms] = [asNumber(options['port']), asNumber(options['ms'])]
  const totals: Totals = { sent: 0, answered: 0, bytesOut: 0, bytesIn: 0 }
  const window = asNumber(options['window'])
  const loops = Array.from({ length: asNumber(options['sockets']) }, () => new Loop(totals, window))
  const cpuBefore = process.cpuUsage()
  const startMs = performance.now()
  await Promise.all(loops.map((loop) => loop.start(port)))
  const watch = setInterval(() => {
    for (const loop of loops) loop.restartIfStalled()
  }, STALLED_AFTER_MS)
  await new Promise((resolve) => setTimeout(resolve, ms))
  clearInterval(watch)
  const tookMs = performance.now() - startMs
  const cpu = process.cpuUsage(cpuBefore)
  for (const loop of loops) loop.close()
  return {
    answered: totals.answered,
    perSecond: (1000 * totals.answered) / tookMs,
    // Requests that are still in flight at the end have no answer, so the ratio is per answered request.
    bytesRatio: totals.bytesIn / (totals.answered * (totals.bytesOut / totals.sent)),
    loadShare: (cpu.user + cpu.system) / 1000 / tookMs,
  }
}

answerCommands('load', { run })
// answerCommands unrefs the IPC channel, but this process must stay and wait for commands.
process.channel?.ref()
console.log(JSON.stringify({ msg: 'ready' }))
