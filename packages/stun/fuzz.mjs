// Fuzzes a live Binding server on loopback: `npm run fuzz -w @peerage/stun [-- datagrams [seed]]`.
//
// The server runs in a process of its own, so that its memory can be measured. The default is a million datagrams,
// and a TCP connection for every 500 of them. Every batch ends with a valid request, whose answer shows that the
// server is alive and has seen the batch. The program exits with 1 and prints the reason if an answer is wrong or
// too large, if something was not counted, or if memory grew.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { bindUdp, createStunServer, decode, listenTcp } from './dist/index.js'

const BATCH = 100
const DATAGRAMS_PER_CONNECTION = 500
const ANSWER_DEADLINE_MS = 10_000
/** How much the heap may grow between two garbage collections, and the whole process because of its allocator. */
const HEAP_GROWTH_MAX_BYTES = 2 * 1024 * 1024
const RSS_GROWTH_MAX_BYTES = 24 * 1024 * 1024
/** The largest answer in relation to its request, over IPv4: 32 to 20 bytes. */
const RATIO_MAX = 1.6

async function serve() {
  const udp = await bindUdp('127.0.0.1', 0)
  const tcp = await listenTcp('127.0.0.1', 0)
  // Two servers, so that the counters of the first one hold only what arrived over UDP.
  const datagrams = createStunServer({ udp: [udp], rate: 'unlimited' })
  const streams = createStunServer({
    tcp: [tcp],
    rate: 'unlimited',
    tcpLimits: { connectionsPerSource: 1_000, idleMs: 2_000 },
  })
  datagrams.start()
  streams.start()
  process.on('message', () => void reportMemory())
  process.on('disconnect', () => process.exit())
  process.send?.({ udp: udp.address().port, tcp: tcp.address().port })

  async function reportMemory() {
    // The memory of a Buffer is freed one turn of the event loop after its collection.
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    process.send?.({ memory: process.memoryUsage(), udp: datagrams.counters, tcp: streams.counters })
  }
}

async function fuzz(total, seed) {
  console.log(`fuzz: ${total} datagrams, seed ${seed}`)
  const server = fork(new URL(import.meta.url), ['server'], { execArgv: ['--expose-gc'] })
  const died = once(server, 'exit').then(([code, signal]) => fail(`the server died: ${code ?? signal}`))
  const [ports] = await once(server, 'message')
  const random = generator(seed)
  const socket = await bindUdp('127.0.0.1', 0)
  // A fifth of the datagrams warm up the server: code is compiled and pools are filled.
  const warmUp = Math.ceil(total / 5)
  const counts = { sent: 0, bytesOut: 0, answers: 0, bytesIn: 0 }
  const startedAt = performance.now()
  await run(warmUp)
  const before = await ask(server)
  await run(total - warmUp)
  const after = await ask(server)
  const seconds = (performance.now() - startedAt) / 1000

  report(before, after, counts, seconds)
  socket.close()
  server.removeAllListeners('exit')
  server.disconnect()
  await Promise.race([once(server, 'exit'), died])

  async function run(count) {
    for (let done = 0; done < count; done += BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, count - done) }, () => datagram(random))
      await exchange(socket, ports.udp, batch, random, counts)
      if (done % DATAGRAMS_PER_CONNECTION === 0) await stream(ports.tcp, random)
    }
  }
}

/** Sends a batch and then a valid request, and checks every answer up to the answer to that request. */
function exchange(socket, port, batch, random, counts) {
  const last = request(random, Buffer.alloc(0))
  // Changed vectors share their transaction ids, so the longest of them sets the limit.
  const asked = new Map()
  for (const bytes of [...batch, last]) {
    const id = bytes.toString('latin1', 8, 20)
    asked.set(id, Math.max(bytes.length, asked.get(id) ?? 0))
  }
  return new Promise((resolve) => {
    const timer = setTimeout(() => fail('no answer to a valid request'), ANSWER_DEADLINE_MS)
    socket.on('message', function take(answer) {
      const id = answer.toString('latin1', 8, 20)
      const length = asked.get(id)
      const decoded = decode(answer)
      if (length === undefined) fail(`an answer that nobody asked for: ${answer.toString('hex')}`)
      if (!decoded.ok) return fail(`an answer that is not a message: ${answer.toString('hex')}`)
      if (!['success', 'error'].includes(decoded.message.class)) fail('a message that is not an answer')
      if (answer.length > RATIO_MAX * length)
        fail(`${answer.length} bytes answer ${length} bytes: ${answer.toString('hex')}`)
      counts.answers++
      counts.bytesIn += answer.length
      if (id !== last.toString('latin1', 8, 20)) return
      clearTimeout(timer)
      socket.off('message', take)
      resolve()
    })
    for (const bytes of [...batch, last]) {
      counts.sent++
      counts.bytesOut += bytes.length
      socket.send(bytes, port, '127.0.0.1')
    }
  })
}

/** Opens a TCP connection, sends a few messages, valid or not, cut anywhere, and ignores what comes back. */
async function stream(port, random) {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  // The server closes a stream that is not STUN, sometimes while we write, as it should.
  socket.on('error', () => undefined).resume()
  const bytes = Buffer.concat(Array.from({ length: 4 }, () => datagram(random)))
  const closed = new Promise((resolve) => socket.on('close', resolve))
  for (let at = 0; at < bytes.length && !socket.destroyed;) {
    const length = 1 + Math.floor(random() * 200)
    socket.write(bytes.subarray(at, at + length))
    at += length
    if (random() < 0.3) await new Promise((resolve) => setImmediate(resolve))
  }
  // Some connections are reset, some end, and some stay until the server closes them as idle.
  if (random() < 0.5) socket.destroy()
  else if (random() < 0.9) socket.end()
  else return
  await closed
}

function ask(server) {
  const answer = once(server, 'message')
  server.send('report')
  return answer.then(([message]) => message)
}

function report(before, after, counts, seconds) {
  const { udp, tcp } = after
  const heap = after.memory.heapUsed + after.memory.external - before.memory.heapUsed - before.memory.external
  const rss = after.memory.rss - before.memory.rss
  const mebibytes = (bytes) => `${(bytes / 1024 / 1024).toFixed(2)} MiB`
  console.log(JSON.stringify({ ...counts, seconds: Math.round(seconds), udp, tcp }, null, 1))
  console.log(
    `heap and buffers ${mebibytes(heap)} more, resident ${mebibytes(rss)} more (now ${mebibytes(after.memory.rss)})`,
  )
  const counted =
    udp.answered + udp.refused + Object.values(udp.dropped).reduce((sum, count) => sum + count, 0)
  if (counted !== counts.sent) fail(`${counts.sent} datagrams were sent, ${counted} were counted`)
  if (udp.answered + udp.refused !== counts.answers) fail('answers were lost or arrived twice')
  if (udp.errors > 0) fail(`${udp.errors} socket errors`)
  if (heap > HEAP_GROWTH_MAX_BYTES) fail('the heap grew')
  if (rss > RSS_GROWTH_MAX_BYTES) fail('the process grew')
  console.log('fuzz: passed')
}

function fail(why) {
  console.error(`fuzz: ${why}`)
  process.exit(1)
}

// --- what is sent

const vectors = JSON.parse(
  readFileSync(new URL('./src/testing/rfc5769.json', import.meta.url), 'utf8'),
).vectors.map(({ hex }) => Buffer.from(hex, 'hex'))

function datagram(random) {
  const below = (limit) => Math.floor(random() * limit)
  const noise = (length) => Buffer.from(Array.from({ length }, () => below(256)))
  switch (below(9)) {
    case 0: // random bytes
      return noise(below(300))
    case 1: // a valid request
      return request(random, Buffer.alloc(0))
    case 2: // a message of RFC 5769, changed in a few places
      return change(Buffer.from(vectors[below(vectors.length)]), 1 + below(4), below)
    case 3: // a message of RFC 5769, truncated
      return vectors[below(vectors.length)].subarray(0, below(110))
    case 4: // attributes of all types and lengths, half of them with a wrong length
      return request(random, attributes(1 + below(20), below, noise))
    case 5: // hundreds of attributes of length 0: a decoder that does not advance would loop here
      return request(random, Buffer.alloc(4 * below(400), Buffer.from([below(256), below(256), 0, 0])))
    case 6: {
      // a header with a wrong length
      const bytes = request(random, noise(4 * below(30)))
      bytes.writeUInt16BE(below(65_536), 2)
      return bytes
    }
    case 7: {
      // any class and method
      const bytes = request(random, Buffer.alloc(0))
      bytes.writeUInt16BE(below(65_536), 0)
      return bytes
    }
    default: // oversized, now and then up to 16,000 bytes
      return request(random, Buffer.alloc(4 * (below(100) === 0 ? below(4_000) : below(500))))
  }
}

function request(random, body) {
  const header = Buffer.alloc(20)
  header.writeUInt16BE(1, 0)
  header.writeUInt16BE(body.length & 0xffff, 2)
  header.writeUInt32BE(0x2112a442, 4)
  for (let i = 8; i < 20; i++) header[i] = Math.floor(random() * 256)
  return Buffer.concat([header, body])
}

function attributes(count, below, noise) {
  const types = [1, 6, 8, 9, 10, 0x14, 0x15, 0x1c, 0x20, 0x8022, 0x8023, 0x8028, 3, 0x24, 0x26, 0x27]
  const parts = Array.from({ length: count }, () => {
    const head = Buffer.alloc(4)
    const value = noise(4 * below(10))
    head.writeUInt16BE(below(4) === 0 ? below(65_536) : types[below(types.length)], 0)
    head.writeUInt16BE(below(2) === 0 ? value.length : below(50), 2)
    return Buffer.concat([head, value])
  })
  return Buffer.concat(parts)
}

function change(bytes, times, below) {
  for (let i = 0; i < times; i++) bytes[below(bytes.length)] = below(256)
  return bytes
}

/** mulberry32: the same seed gives the same datagrams. */
function generator(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

if (process.argv[2] === 'server') await serve()
else await fuzz(Number(process.argv[2] ?? 1_000_000), Number(process.argv[3] ?? Date.now() % 1_000_000))
