// One attack, in its own process: node attacker.mjs KIND STARTS-AT MS '{"urls":[…],…}'. It starts at that Unix time in ms
// and lasts MS, counted from the first socket that a node accepted. It prints one line of JSON: how much it sent, and how
// often it saw each outcome. Traffic goes to loopback only.
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { attacksOnApps } from './attacker-apps.mjs'
import { attacksOnWires } from './attacker-wires.mjs'

const [kind, startsAt, ms, text] = process.argv.slice(2)
const given = JSON.parse(text)
for (const url of given.urls)
  if (new URL(url).hostname !== '127.0.0.1') throw new Error(`${url} is not on loopback`)
let ends = Number(startsAt) + Number(ms)
let hasBegun = false
const TICK_MS = 20
const SECRET = 's'.repeat(22)
const STREAM = 'A'.repeat(11)
const ORIGIN = -1
const PAGE = { origin: 'https://good.example' }
const outcomes = {}
let sent = 0

const isOver = () => Date.now() >= ends
/** On a loaded machine the first handshake alone may take MS, so the time begins after it. */
const begin = () => {
  if (!hasBegun) ends = Date.now() + Number(ms)
  hasBegun = true
}
const saw = (what, times = 1) => (outcomes[what] = (outcomes[what] ?? 0) + times)
// Index ORIGIN is the node that requires an origin and a key; the others are the nodes with peers.
const urlOf = (i) =>
  i === ORIGIN ? `http://127.0.0.1:${given.originPort}` : given.urls[i % given.urls.length]
const portOf = (i) => Number(new URL(urlOf(i)).port)
const event = (type, fields) => `42${JSON.stringify([type, fields])}`
const hello = (name, more) => `40${JSON.stringify({ v: 1, name, secret: SECRET, ...more })}`
const sending = (to, since, seq, body, kind = 'message') =>
  event('send', { to, since, stream: STREAM, seq, base: 1, kind, body })

/** Calls `act` `perSecond` times a second until the attack is over, as far as this process gets CPU time. */
async function atRate(perSecond, act) {
  const began = Date.now()
  let done = 0
  while (!isOver()) {
    // After a delay it catches up by at most a tenth of a second's calls.
    const due = Math.min(done + perSecond / 10, ((Date.now() - began) / 1_000) * perSecond)
    for (; done < due; done++) act(done)
    await delay(TICK_MS)
  }
}

function socket(i, { path = '/peerage/?EIO=4&transport=websocket', headers = {} } = {}) {
  const ws = new WebSocket(`${urlOf(i).replace('http', 'ws')}${path}`, { headers, perMessageDeflate: false })
  ws.on('error', (error) => saw(error.message.replace(/\d+\.\d+\.\d+\.\d+:\d+/, 'node')))
  ws.on('close', (code) => saw(`closed ${code}`))
  return ws
}

/** Resolves with a socket that the node has accepted, or with undefined. */
function opened(i, options) {
  const ws = socket(i, options)
  return new Promise((resolve) => {
    ws.once('message', () => {
      begin()
      resolve(ws)
    })
    ws.once('close', () => resolve(undefined))
  })
}

/** Resolves with a socket that has claimed its name, or with undefined. */
async function claimed(i, name, options, more) {
  const ws = await opened(i, options)
  if (ws === undefined) return undefined
  return new Promise((resolve) => {
    ws.on('message', (data) => {
      const frame = Buffer.from(data).toString()
      if (frame === '2') ws.send('3')
      else if (frame.startsWith('42["welcome"')) resolve(ws)
      else if (frame.startsWith('42["error"')) saw(`error ${/"code":"([^"]+)/.exec(frame)?.[1]}`)
      else if (frame.startsWith('44')) {
        saw('refused 44')
        resolve(undefined)
      }
    })
    ws.once('close', () => resolve(undefined))
    ws.send(hello(name, more))
  })
}

const write = (ws, data) => {
  if (ws.readyState !== WebSocket.OPEN) return
  ws.send(data)
  sent++
}

let keys = 36 ** 4
/** Objects, each with a key that has not been used before. */
const newKeys = (count) =>
  Array.from({ length: count }, () => `{"${process.pid}${(keys++).toString(36)}":0}`).join()

/** `count` claimed sockets that reconnect when they are closed. Each calls `act` this many times a second. */
async function claimants(count, perSecond, act) {
  await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      for (let again = 0; !isOver(); again++) {
        const ws = await claimed(i, `attacker-${kind}-${process.pid}-${i}-${again}`)
        if (ws === undefined) {
          await delay(100)
          continue
        }
        await Promise.race([
          new Promise((resolve) => ws.once('close', resolve)),
          atRate(perSecond, (n) => ws.readyState === WebSocket.OPEN && act(ws, n)),
        ])
        ws.terminate()
        await delay(50)
      }
    }),
  )
}

async function sinceOf(ws, name) {
  const found = new Promise((resolve) => {
    ws.on('message', (data) => {
      const match = /"state":"online","since":(\d+)/.exec(Buffer.from(data).toString())
      if (match) resolve(Number(match[1]))
    })
  })
  ws.send(event('lookup', { id: 1, names: [name] }))
  return Promise.race([found, delay(5_000, 0)])
}

/** Writes bytes to a new TCP socket. Resolves with the status of the answer, or with how the socket ended. */
function raw(port, bytes, { reset = false, waitMs = 3_000 } = {}) {
  const tcp = connectTcp({ host: '127.0.0.1', port })
  return new Promise((resolve) => {
    let what = 'ended'
    const timer = setTimeout(() => {
      what = 'still open'
      tcp.destroy()
    }, waitMs)
    tcp.on('connect', () => {
      tcp.write(bytes)
      sent++
      if (reset) setTimeout(() => tcp.resetAndDestroy(), Math.random() * 4)
    })
    tcp.on('data', (data) => {
      what = /^HTTP\/1.1 (\d+)/.exec(data.toString())?.[1] ?? 'answered'
      if (reset) tcp.resetAndDestroy()
      else tcp.end()
    })
    tcp.on('error', (error) => (what = error.code ?? error.message))
    tcp.on('close', () => {
      clearTimeout(timer)
      saw(what)
      resolve(what)
    })
  })
}

const upgrade = (path, headers = '') =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n${headers}\r\n`
const NATIVE = '/peerage/?EIO=4&transport=websocket'
const PEERJS = '/peerjs?key=peerjs&id=x&token=y'

/** `count` sockets that send a byte now and then and never finish their request. */
async function slowly(count, first, secure) {
  await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const tcp = connectTcp({ host: '127.0.0.1', port: secure ? given.tlsPort : portOf(i) })
      tcp.on('error', (error) => saw(error.code ?? error.message))
      tcp.on('data', () => saw('answered'))
      tcp.on('close', () => {
        if (!isOver()) saw('closed by the node')
      })
      tcp.on('connect', () => tcp.write(first))
      while (!tcp.closed && !isOver()) {
        await delay(500)
        if (!tcp.closed) tcp.write('a')
        sent++
      }
      if (!tcp.closed) saw('still open at the end')
      tcp.destroy()
    }),
  )
}

/** The start of a TLS handshake, and other bytes that a link port may receive. */
const TLS_HELLO = Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), randomBytes(32)])
const LINK_GARBAGE = [
  () => randomBytes(1 + Math.floor(Math.random() * 2_000)),
  () => Buffer.alloc(60_000),
  () => Buffer.alloc(60_000, 0xff),
  () => Buffer.concat([TLS_HELLO, randomBytes(600)]),
  () => Buffer.from('GET / HTTP/1.1\r\nHost: node\r\n\r\n'),
  () => Buffer.from([0x02, 0x00, ...Array.from({ length: 512 }, () => 0x20)]),
]
/** A node gives a connection two seconds for its proof. Here that takes longer, because all processes share the CPU. */
const LINK_PROOF_MS = 4_000

/** Connects to a node's link port, from one of eight addresses, and waits for the outcome. */
function connectLink(n, bytes) {
  const port = given.linkPorts[n % given.linkPorts.length]
  const tcp = connectTcp({ host: '127.0.0.1', port, localAddress: `127.0.0.${2 + (n % 8)}` })
  sent++
  return new Promise((resolve) => {
    let what = 'closed'
    const timer = setTimeout(() => {
      what = 'still open'
      tcp.destroy()
    }, LINK_PROOF_MS)
    tcp.on('connect', () => bytes.length > 0 && tcp.write(bytes))
    tcp.on('data', (data) => data.includes('"from"') && saw('let in'))
    tcp.on('error', (error) => (what = error.code === 'ECONNRESET' ? 'closed' : error.code))
    tcp.on('close', () => {
      clearTimeout(timer)
      saw(what)
      resolve()
    })
  })
}

/** Starts `act` this many times a second. Resolves when all of them have ended. */
async function connectAtRate(perSecond, act) {
  const all = []
  await atRate(perSecond, (n) => all.push(act(n)))
  await Promise.all(all)
}

/** Claims to be the other node, with a certificate from an authority that the node trusts, or with none. */
function impersonate(n) {
  const to = n % 2
  const tls = connectTls({
    host: '127.0.0.1',
    port: given.linkPorts[to],
    rejectUnauthorized: false,
    ...(n % 3 === 0 ? {} : { cert: readFileSync(given.tls.cert), key: readFileSync(given.tls.key) }),
  })
  sent++
  const words = Buffer.from(JSON.stringify({ v: 1, from: given.nodeIds[1 - to], to: given.nodeIds[to] }))
  return new Promise((resolve) => {
    tls.on('secureConnect', () => {
      saw('handshake')
      tls.write(Buffer.concat([Buffer.from([0, words.length]), words]))
    })
    tls.on('data', () => saw('let in'))
    tls.on('error', () => {})
    tls.on('close', () => {
      saw('closed')
      resolve()
    })
  })
}

const acks = JSON.stringify(
  Array.from({ length: 64 }, (_, i) => ({ to: `absent-${i}`, stream: STREAM, next: 2 })),
)
const junk = [
  'x',
  '4',
  '42',
  '42[',
  '42["send"]',
  '42["send",null]',
  '42["send",{"__proto__":{"to":"a"},"constructor":{"prototype":{"x":1}}}]',
  event('lookup', { id: 1, names: ['__proto__', 'constructor', 'toString'] }),
  `42["send",${'['.repeat(20_000)}${']'.repeat(20_000)}]`,
  `42["send",${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}]`,
  '45-999999["send",{"_placeholder":true,"num":0}]',
  randomBytes(512),
  Buffer.alloc(0),
]
const sizes = [65_534, 65_535, 65_536, 65_537, 1_000_000]

/** Resolves with how the socket reacted to one frame. */
async function probe(i, frame) {
  const ws = await claimed(i, `probe-${process.pid}-${sent}-${Math.random().toString(36).slice(2)}`)
  if (ws === undefined) return 'not let in'
  const closed = new Promise((resolve) => ws.once('close', (code) => resolve(`closed ${code}`)))
  write(ws, frame)
  const answer = await Promise.race([closed, delay(300, 'stays')])
  ws.terminate()
  return answer
}

const attacks = {
  'refused-upgrade-reset': async () => {
    const requests = [
      upgrade('/nowhere'),
      upgrade('/peerage/?EIO=4&transport=polling'),
      upgrade(NATIVE, 'Origin: https://evil.example\r\n'),
      upgrade(PEERJS, 'Origin: https://evil.example\r\n'),
      upgrade('/peerjs?key=wrong&id=x&token=y'),
      upgrade('/peerage/?EIO=3&transport=websocket'),
      upgrade(NATIVE),
      'GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'GET /peerage/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'POST /peerjs/id HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc',
    ]
    const ports = [portOf(0), given.originPort, portOf(1)]
    await atRate(200, (n) => void raw(ports[n % 3], requests[n % requests.length], { reset: true }))
  },
  'connect-flood': async () => {
    await Promise.all(
      Array.from({ length: 4 }, async (_, i) => {
        for (let again = 0; !isOver(); again++) {
          const ws = await opened(i)
          if (ws === undefined) {
            await delay(50)
            continue
          }
          await Promise.race([
            new Promise((resolve) => ws.once('close', resolve)),
            atRate(12_000, (n) => write(ws, hello(`flood-${i}-${again}-${n}`))),
          ])
          ws.terminate()
        }
      }),
    )
  },
  'refused-hellos': async () => {
    const wrongKey = hello('some-name', { token: 'wrong-key' })
    const packets = [
      hello(given.victim, { secret: 'w'.repeat(22) }),
      hello('some-name', { v: 99 }),
      '40/other,{}',
      `40/other,${JSON.stringify({ v: 1, name: 'x', secret: SECRET })}`,
      '40"text"',
      '40',
    ]
    await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        // One in four goes to the node that requires a key, with a wrong key.
        const isKeyed = i % 4 === 3
        while (!isOver()) {
          const ws = await opened(isKeyed ? ORIGIN : i, { headers: isKeyed ? PAGE : {} })
          if (ws === undefined) {
            await delay(20)
            continue
          }
          const frame = new Promise((resolve) => {
            ws.on('message', (data) => {
              const answer = Buffer.from(data).toString()
              if (answer.startsWith('42["welcome"')) saw('welcomed')
              if (answer.startsWith('44')) saw(`refused ${/"(?:code|message)":"([^"]+)/.exec(answer)?.[1]}`)
              resolve()
            })
            ws.once('close', resolve)
          })
          for (let n = 0; n < 50; n++)
            write(ws, isKeyed ? wrongKey : packets[(n + (i >> 2)) % packets.length])
          await Promise.race([frame, delay(500)])
          ws.terminate()
        }
      }),
    )
  },
  'many-names-before-the-answer': async () => {
    for (let i = 0; i < 4; i++) {
      const ws = await opened(i)
      if (ws === undefined) continue
      for (let n = 0; n < 16; n++) write(ws, hello(`held-${i}-${n}`))
      ws.on('message', (data) => saw(Buffer.from(data).toString().slice(0, 12)))
      await delay(250)
      ws.terminate()
    }
  },
  'ack-flood': () => claimants(2, 250, (ws) => write(ws, `42["ack",{"acks":${acks}}]`)),
  'slow-to-read': () =>
    claimants(2, 100, (ws, n) => {
      // The last kind is as slow as a frame that the node accepts can be.
      const slow = [`${'0,'.repeat(24_000)}0`, newKeys(3_000), `${'[],'.repeat(16_000)}0`, newKeys(500)][
        n % 4
      ]
      write(ws, `42["lookup",{"id":${n},"names":["nobody"],"x":[${slow}]}]`)
    }),
  'pong-flood': () =>
    claimants(2, 10_000, (ws) => {
      ws.pong()
      sent++
    }),
  'packet-pong-flood': () => claimants(2, 10_000, (ws) => write(ws, '3')),
  'ping-flood': () =>
    claimants(2, 10_000, (ws) => {
      ws.ping()
      sent++
    }),
  junk: async () => {
    for (let n = 0; !isOver(); n++) saw(await probe(n, junk[n % junk.length]))
  },
  'frame-sizes': async () => {
    for (let n = 0; !isOver(); n++) {
      const bytes = sizes[n % sizes.length]
      const head = event('lookup', { id: 1, names: [] }).slice(0, -2)
      const frame = `${head},"x":"${'y'.repeat(bytes - head.length - 8)}"}]`
      saw(`${frame.length} bytes: ${await probe(n, frame)}`)
    }
  },
  'payload-growth': async () => {
    const payload = `[${'1e20,'.repeat(12_000)}1]`
    await Promise.all(
      [0, 1].map(async (i) => {
        const ws = await opened(i, { path: `/peerjs?key=peerjs&id=grow-${process.pid}-${i}&token=t` })
        if (ws === undefined) return
        await atRate(125, (n) =>
          write(ws, `{"type":"OFFER","dst":"absent-${i}-${n % 200}","payload":${payload}}`),
        )
        ws.terminate()
      }),
    )
  },
  'signals-at-a-slow-peer': async () => {
    const slow = `slow-${process.pid}`
    const victim = await claimed(0, slow)
    const sender = await claimed(1, `fast-${process.pid}`)
    if (victim === undefined || sender === undefined)
      throw new Error('the victim or the sender was not let in')
    let budget = 0
    victim.on('message', (data) => {
      budget -= data.length
      saw('read by the victim')
      if (budget < 0) victim.pause()
    })
    // 20 Mbit/s.
    const reading = setInterval(() => {
      budget = Math.min(50_000, budget + 2_500_000 * (TICK_MS / 1_000))
      if (budget > 0) victim.resume()
    }, TICK_MS)
    victim.on('close', (code) => saw(`victim closed ${code}`))
    const since = await sinceOf(sender, slow)
    const body = 'x'.repeat(45_000)
    await atRate(166, (n) => write(sender, sending(slow, since, n + 1, body, 'signal')))
    clearInterval(reading)
    if (victim.readyState === WebSocket.OPEN) saw('victim stays')
    sender.terminate()
  },
  'stalled-inbox': async () => {
    // It sends signals, because the server limits the rate of messages. Four senders together exceed the rate of one.
    const senders = []
    for (let i = 0; i < 4; i++) {
      const ws = await claimed(i, `staller-${process.pid}-${i}`)
      if (ws === undefined) throw new Error('not let in')
      senders.push({ ws, since: await sinceOf(ws, given.victim) })
    }
    // Seq 1 never arrives. The bodies get smaller and smaller, so that they fill the victim's buffer to the last character.
    for (const [i, length] of [45_000, 45_000, 1_000, 30, 1].entries()) {
      const stream = 'ABCDE'.charAt(i).repeat(11)
      const body = 'x'.repeat(length)
      // It pauses in between, because a victim that must read all of it at once would be late for that reason alone.
      for (let seq = 2; seq < 62; seq++) {
        for (const { ws, since } of senders)
          write(ws, event('send', { to: given.victim, since, stream, seq, base: 1, kind: 'signal', body }))
        await delay(length > 1_000 ? 50 : 2)
      }
    }
    for (const { ws } of senders) ws.terminate()
  },
  enumeration: () =>
    claimants(2, 100, (ws, n) =>
      write(ws, event('lookup', { id: n, names: Array.from({ length: 64 }, (_, i) => `guess-${n}-${i}`) })),
    ),
  squatting: async () => {
    await atRate(150, async (n) => {
      const ws = await opened(n, { headers: { 'x-forwarded-for': '203.0.113.7' } })
      if (ws === undefined) return
      ws.on('message', (data) => {
        const answer = Buffer.from(data).toString()
        if (answer.startsWith('42["welcome"')) saw('TAKEN')
        if (answer.startsWith('44')) saw('refused 44')
      })
      write(ws, hello(given.victim, { secret: 'w'.repeat(22) }))
      await delay(500)
      ws.terminate()
    })
  },
  'key-oracle': async () => {
    const ask = async (key, what) => {
      try {
        const headers = { ...PAGE, 'x-forwarded-for': '203.0.113.8' }
        const response = await fetch(`${urlOf(ORIGIN)}/${key}/id`, { headers })
        await response.text()
        saw(`${what}: ${response.status}`)
      } catch (error) {
        saw(String(error.cause?.code ?? error))
      }
      sent++
    }
    await ask(given.key, 'the right key at first')
    await atRate(100, (n) => ask(`guess-${n}`, 'a guess'))
    await ask(given.key, 'the right key after that')
  },
  // The balancer is trusted, so the last address counts, which the balancer appended. The attacker wrote the others.
  'forged-forwarded-for': () => forge((n) => `10.${n % 250}.${(n >> 4) % 250}.1, 198.51.100.9`),
  // A header must never make a client count as loopback, which is exempt from the limits per address.
  'loopback-by-header': () => forge(() => '127.0.0.1'),
  origins: async () => {
    const origins = [
      'https://evil.example',
      'null',
      'https://good.example.evil.example',
      'https://evilgood.example',
      'https://GOOD.example',
      'http://good.example',
      'https://good.example:8443',
      'https://good.example/',
    ]
    const paths = [NATIVE, PEERJS, '/peerjs?key=peerjs']
    for (let n = 0; !isOver(); n++) {
      const origin = origins[n % origins.length]
      const path = paths[n % paths.length]
      const status = await raw(given.originPort, upgrade(path, `Origin: ${origin}\r\n`))
      if (status === '101') saw(`let in: ${origin}`)
    }
  },
  'forged-sender': async () => {
    const [a, b] = [await claimed(0, `forger-${process.pid}`), await claimed(1, `target-${process.pid}`)]
    if (a === undefined || b === undefined) throw new Error('not let in')
    b.on('message', (data) => {
      const frame = Buffer.from(data).toString()
      if (frame.startsWith('42["message"'))
        saw(
          frame.includes(`"from":"forger-${process.pid}"`) && !frame.includes('honest')
            ? 'stamped'
            : 'FORGED',
        )
    })
    const since = await sinceOf(a, `target-${process.pid}`)
    await atRate(100, (n) =>
      write(
        a,
        event('send', {
          to: `target-${process.pid}`,
          since,
          stream: STREAM,
          seq: n + 1,
          base: 1,
          kind: 'message',
          body: 'x',
          from: 'honest',
          src: 'honest',
        }),
      ),
    )
  },
  'slowloris-http': () => slowly(200, 'GET / HTTP/1.1\r\nHost: x\r\nX-'),
  'slowloris-upgrade': () => slowly(200, upgrade(NATIVE).slice(0, -2)),
  // A ClientHello that announces 512 bytes and never ends.
  'slowloris-tls': () => slowly(200, Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), true),
  'report-flood': () =>
    claimants(2, 900, (ws, n) =>
      write(ws, event('report', { handshake: `h${n}`, path: 'failed', stage: 'ice', ms: 1e15 })),
    ),
  'connect-vanish': () =>
    atRate(200, async (n) => {
      const ws = socket(n)
      sent++
      ws.on('open', () => setTimeout(() => ws.terminate(), Math.random() * 20))
    }),
  'rooms-and-watches': () =>
    claimants(2, 900, (ws, n) =>
      write(
        ws,
        n % 2 === 0
          ? event('join', { id: n, room: `room-${n}` })
          : event('watch', { id: n, names: Array.from({ length: 64 }, (_, i) => `w-${n}-${i}`) }),
      ),
    ),
  'stun-reflection': async () => {
    const udp = createSocket('udp4')
    let back = 0
    let out = 0
    udp.on('message', (data) => (back += data.length))
    const request = () => Buffer.concat([Buffer.from('000100002112a442', 'hex'), randomBytes(12)])
    const kinds = [request, () => randomBytes(20), () => randomBytes(1_200), () => Buffer.alloc(0)]
    await atRate(3_000, (n) => {
      const bytes = kinds[n % kinds.length]()
      out += bytes.length + 28
      udp.send(bytes, given.stunPort, '127.0.0.1')
      sent++
    })
    await delay(200)
    udp.close()
    saw('bytes out', out)
    saw('bytes back', back)
  },
  'stun-tcp-half-open': async () => {
    const all = Array.from({ length: 300 }, () => {
      const tcp = connectTcp(given.stunPort, '127.0.0.1', () => tcp.write(Buffer.from('00010000', 'hex')))
      sent++
      // If the socket is not read, its end is not noticed.
      tcp.resume()
      tcp.on('error', (error) => saw(error.code ?? 'error'))
      tcp.on('close', () => saw(isOver() ? 'open till the end' : 'closed by the server'))
      return tcp
    })
    while (!isOver()) await delay(100)
    for (const tcp of all) tcp.destroy()
    await delay(50)
  },
  'link-garbage': () => connectAtRate(300, (n) => connectLink(n, LINK_GARBAGE[n % LINK_GARBAGE.length]())),
  'link-silence': () => connectAtRate(100, (n) => connectLink(n, n % 2 === 0 ? '' : TLS_HELLO)),
  'link-connects': () => connectAtRate(1_000, (n) => connectLink(n, '')),
  'link-impostor': () => connectAtRate(20, impersonate),
  bus: async () => {
    const texts = [
      '',
      '{',
      'null',
      '5:abc',
      'z5:3:newerabc',
      '9'.repeat(60_000),
      '{"type":"deliver"}',
      '\0\x01',
    ]
    const tcp = connectTcp(given.redisPort, '127.0.0.1')
    tcp.on('error', (error) => saw(error.code))
    tcp.on('data', () => {})
    await atRate(500, (n) => {
      const parts = ['SPUBLISH', given.channels[n % given.channels.length], texts[n % texts.length]]
      tcp.write(`*3\r\n${parts.map((one) => `$${Buffer.byteLength(one)}\r\n${one}\r\n`).join('')}`)
      sent++
    })
    tcp.destroy()
  },
}

function forge(header) {
  return atRate(400, (n) => {
    const ws = socket(0, { headers: { 'x-forwarded-for': header(n) } })
    sent++
    ws.on('open', () => {
      saw('let in')
      setTimeout(() => ws.terminate(), 20)
    })
  })
}

const onApps = attacksOnApps({
  given,
  hello,
  saw,
  countSent: () => sent++,
  opened,
  claimed,
  write,
  atRate,
  isOver,
  begin,
})
const onWires = attacksOnWires({ given, saw, socket, write, atRate, isOver, begin, raw, upgrade, portOf })
const attack = { ...attacks, ...onApps, ...onWires }[kind]
if (attack === undefined) throw new Error(`unknown attack: ${kind}`)
await delay(Math.max(0, Number(startsAt) - Date.now()))
await attack()
console.log(JSON.stringify({ sent, outcomes }))
process.exit(0)
