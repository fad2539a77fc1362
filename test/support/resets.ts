import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { WebSocket } from 'ws'

// TCP resets (RFC 9293 §3.5.2) at each stage of each kind of connection, as a killed peer, a balancer that gives up or an
// attacker causes them.

/** One kind of connection, and the stage at which it is reset. */
export interface Reset {
  /** Kind and stage, for messages. */
  what: string
  /** Written in order. A step `until` waits for an answer that contains the text. */
  steps: readonly (string | Buffer | { until: string })[]
}

/** An upgrade request, and the status of its answer, which shows that the connection reached the stage. */
interface Upgrade {
  what: string
  path: string
  headers?: string
  status: number
}

const head = (path: string, headers = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
  `Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${headers}\r\n`

const NATIVE = '/peerage/?EIO=4&transport=websocket'
let serial = 0
const peerjs = (): string => `/peerjs?key=peerjs&id=reset-${process.pid}-${++serial}&token=t&version=1`
const hello = (): string =>
  `40${JSON.stringify({ v: 1, name: `reset-${process.pid}-${++serial}`, secret: 's'.repeat(22) })}`

/** A whole text frame of a client, masked with zeros (RFC 6455 §5.2), up to 125 bytes; `announced` may be a wrong length. */
function frame(text: string, announced = text.length): Buffer {
  const length = announced < 126 ? [0x80 | announced] : [0x80 | 126, announced >> 8, announced & 255]
  return Buffer.concat([Buffer.from([0x81, ...length, 0, 0, 0, 0]), Buffer.from(text)])
}

/** Requests that every node refuses. */
const REFUSED: readonly Upgrade[] = [
  { what: 'unknown path', path: '/nowhere', status: 404 },
  { what: 'polling', path: '/peerage/?EIO=4&transport=polling', status: 400 },
  { what: 'another WebSocket version', path: NATIVE, headers: 'Sec-WebSocket-Version: 7\r\n', status: 400 },
]

/** Requests that a node refuses because it has reached its limit of connections and does not accept this origin. */
export const guardedResets = (foreignOrigin: string): Reset[] =>
  ['native', 'PeerJS'].flatMap((wire) => {
    const path = wire === 'native' ? NATIVE : peerjs()
    return [
      ...refusal({
        what: `foreign origin, ${wire}`,
        path,
        headers: `Origin: ${foreignOrigin}\r\n`,
        status: 403,
      }),
      ...refusal({ what: `no place, ${wire}`, path, status: 503 }),
    ]
  })

const refusal = ({ what, path, headers, status }: Upgrade): Reset[] => [
  { what: `refused (${what}), at once`, steps: [head(path, headers)] },
  {
    what: `refused (${what}), after the answer`,
    steps: [head(path, headers), { until: `HTTP/1.1 ${status}` }],
  },
  {
    what: `refused (${what}), after more was sent`,
    steps: [head(path, headers), 'more', { until: `HTTP/1.1 ${status}` }, 'and more'],
  },
]

/** The arguments of a node for `guardedResets`. `holdPlace` then takes its only connection. */
export const GUARDED_ARGS = [
  '--origins=https://app.example',
  '--limits-node-connections=1',
  '--limits-handshake-ms=600000',
]

/** Resolves with a function that closes the connection again. */
export async function holdPlace(url: string): Promise<() => void> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${NATIVE}`)
  socket.on('message', (data: Buffer) => {
    if (data.toString() === '2') socket.send('3')
  })
  await new Promise((resolve, reject) => socket.once('message', resolve).once('error', reject))
  return () => socket.terminate()
}

/** Resets at the main port. */
export function mainResets(): Reset[] {
  const open: Reset['steps'] = [head(NATIVE), { until: '"sid"' }]
  const welcomed = (): Reset['steps'] => [...open, frame(hello()), { until: 'welcome' }]
  const opened = (): Reset['steps'] => [head(peerjs()), { until: 'OPEN' }]
  return [
    { what: 'nothing sent', steps: [] },
    { what: 'upgrade half sent', steps: [head(NATIVE).slice(0, 60)] },
    ...REFUSED.flatMap(refusal),
    { what: 'native, upgrade sent', steps: [head(NATIVE)] },
    {
      what: 'native, upgrade and CONNECT in one',
      steps: [Buffer.concat([Buffer.from(head(NATIVE)), frame(hello())])],
    },
    { what: 'native, after 101', steps: open },
    { what: 'native, CONNECT sent', steps: [...open, frame(hello())] },
    { what: 'native, after the welcome', steps: welcomed() },
    { what: 'native, mid-frame', steps: [...welcomed(), frame('42["message",', 4_000)] },
    { what: 'native, bad frame', steps: [...welcomed(), Buffer.from([0xff, 0xff, 0xff])] },
    { what: 'native, close frame sent', steps: [...welcomed(), Buffer.from([0x88, 0x80, 0, 0, 0, 0])] },
    { what: 'PeerJS, upgrade sent', steps: [head(peerjs())] },
    { what: 'PeerJS, after OPEN', steps: opened() },
    { what: 'PeerJS, mid-frame', steps: [...opened(), frame('{"type":"OFFER"', 4_000)] },
    { what: 'PeerJS, bad frame', steps: [...opened(), Buffer.from([0xff, 0xff, 0xff])] },
    { what: 'PeerJS, close frame sent', steps: [...opened(), Buffer.from([0x88, 0x80, 0, 0, 0, 0])] },
    ...httpResets(['/healthz', '/readyz', '/version', '/', '/index.html', '/peerjs/id', '/nowhere']),
  ]
}

/** Resets at the admin port. */
export const adminResets = (): Reset[] => [
  { what: 'nothing sent', steps: [] },
  ...httpResets(['/metrics', '/']),
]

function httpResets(paths: readonly string[]): Reset[] {
  return [
    { what: 'HTTP, half a request', steps: ['GET / HTTP/1.1\r\nHos'] },
    { what: 'HTTP, no HTTP', steps: ['\x16\x03\x01 hello\r\n\r\n', { until: '400' }] },
    { what: 'HTTP, half a body', steps: ['POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nhalf'] },
    ...paths.flatMap((path) => {
      const get = `GET ${path} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n`
      return [
        { what: `HTTP ${path}, at once`, steps: [get] },
        { what: `HTTP ${path}, many at once`, steps: [get.repeat(20)] },
        { what: `HTTP ${path}, while it is answered`, steps: [get, { until: 'HTTP/1.1' }] },
      ]
    }),
  ]
}

const STUN_REQUEST = Buffer.from('000100002112a442000102030405060708090a0b', 'hex')

/** Resets at the TCP port of `peerage stun`. */
export function stunResets(): Reset[] {
  // Every answer contains the magic cookie (RFC 8489 §5).
  const answered = { until: STUN_REQUEST.subarray(4, 8).toString('latin1') }
  return [
    { what: 'STUN, nothing sent', steps: [] },
    { what: 'STUN, half a request', steps: [STUN_REQUEST.subarray(0, 11)] },
    { what: 'STUN, at once', steps: [STUN_REQUEST] },
    { what: 'STUN, many at once', steps: [Buffer.concat(Array.from({ length: 30 }, () => STUN_REQUEST))] },
    { what: 'STUN, garbage', steps: [Buffer.alloc(64, 0xff)] },
    // The last one shows that the server still answers.
    { what: 'STUN, after the answer', steps: [STUN_REQUEST, answered] },
  ]
}

const ANSWER_WITHIN_MS = 10_000

/** Runs the steps of `reset`, then resets the connection. Rejects if an expected answer does not come. */
export async function resetAt(port: number, reset: Reset): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let heard = ''
  socket.on('error', () => {})
  socket.on('data', (data: Buffer) => (heard += data.toString('latin1')))
  try {
    await once(socket, 'connect')
    for (const step of reset.steps) {
      if (typeof step === 'string' || Buffer.isBuffer(step)) await written(socket, step)
      else await heardText(socket, reset, step.until, () => heard)
    }
  } finally {
    socket.resetAndDestroy()
  }
}

/** Resolves also on an error: the node may have closed the connection, and answers the reset with its own. */
function written(socket: Socket, data: string | Buffer): Promise<void> {
  return new Promise((resolve) => socket.write(data, () => resolve()))
}

async function heardText(socket: Socket, { what }: Reset, text: string, heard: () => string): Promise<void> {
  const late = AbortSignal.timeout(ANSWER_WITHIN_MS)
  while (!heard().includes(text)) {
    const more = new Promise<boolean>((resolve) => {
      socket.once('data', () => resolve(true))
      socket.once('close', () => resolve(false))
      late.addEventListener('abort', () => resolve(false), { once: true })
    })
    if (!(await more) && !heard().includes(text))
      throw new Error(
        `${what}: ${JSON.stringify(text)} did not come; received ${JSON.stringify(heard().slice(0, 300))}`,
      )
  }
}
