import { connect } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { connect as connectPeer, type Peer } from '@peerage/client'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startHaproxy } from '@peerage/test-support/haproxy.js'
import { ensureBuilt, PEERAGE_BIN, startNode, type Node } from '@peerage/test-support/node.js'
import { makeCertificates } from '@peerage/test-support/certificates.js'
import { startChild } from '@peerage/test-support/process.js'
import {
  GUARDED_ARGS,
  adminResets,
  guardedResets,
  holdPlace,
  mainResets,
  resetAt,
  stunResets,
  type Reset,
} from '@peerage/test-support/resets.js'

// A reset of one connection, at any stage of any entrance, must affect only this connection. A reset after a refused
// upgrade once ended the process.

/** Each stage runs a few times, because the kernel reports a reset either at a read or at a write. */
const TIMES = 3
const DEADLINE_MS = 30_000
/** Node gives a blocked write 10 s twice, because it checks once more for progress. */
const ENDED_WITHIN_MS = 45_000
/** Requests whose responses are not read. The responses are larger than the kernel's buffers. */
const MANY = 300_000

let node: Node
let guarded: Node
beforeAll(async () => {
  ;[node, guarded] = await Promise.all([
    startNode({ args: ['--admin-port', '0'] }),
    startNode({ args: GUARDED_ARGS }),
  ])
})
afterAll(async () => {
  await Promise.all([node.stop(), guarded.stop()])
})

async function resetAll(port: number, resets: readonly Reset[]): Promise<void> {
  for (let i = 0; i < TIMES; i++) for (const reset of resets) await resetAt(port, reset)
}

/** Two peers on the node, one of which sends to the other all the time. `stop` returns what was sent and received. */
async function startTraffic({
  url,
}: Node): Promise<{ stop: () => Promise<{ said: number; heard: unknown[] }> }> {
  const [from, to]: Peer[] = await Promise.all(
    ['from', 'to'].map((name) => connectPeer(url, { name, storage: null, p2p: false })),
  )
  if (!from || !to) throw new Error('two peers were started')
  const heard: unknown[] = []
  to.on('message', (_, data) => void heard.push(data))
  let said = 0
  const stopping = new AbortController()
  const talk = (async () => {
    while (!stopping.signal.aborted) await from.send('to', said++)
  })()
  return {
    stop: async () => {
      stopping.abort()
      await talk
      await Promise.all([from.leave(), to.leave()])
      return { said, heard }
    },
  }
}

describe('a reset at each stage of each entrance', () => {
  test(
    '[WH9] main port and admin port: the node lives, and its other peers notice nothing',
    async () => {
      const talk = await startTraffic(node)
      await resetAll(node.port, mainResets())
      await resetAll(Number(new URL(node.admin ?? '').port), adminResets())
      const { said, heard } = await talk.stop()
      expect(said).toBeGreaterThan(0)
      expect(heard).toEqual(Array.from({ length: said }, (_, i) => i))
      expect(await fetch(`${node.url}/readyz`)).toMatchObject({ status: 200 })
    },
    DEADLINE_MS,
  )

  test(
    '[WH9] a node that is full or refuses the origin lives',
    async () => {
      onTestFinished(await holdPlace(guarded.url))
      await resetAll(guarded.port, guardedResets('https://evil.example'))
      expect(await fetch(`${guarded.url}/healthz`)).toMatchObject({ status: 200 })
    },
    DEADLINE_MS,
  )

  test(
    '[WH9] the same through HAProxy',
    async () => {
      const haproxy = await startHaproxy({ backends: [{ host: '127.0.0.1', port: node.port }] })
      onTestFinished(() => haproxy.stop())
      await haproxy.until(0, 'UP')
      // HAProxy itself answers data that is not HTTP.
      await resetAll(
        haproxy.port,
        mainResets().filter(({ what }) => !what.includes('no HTTP')),
      )
      expect(await fetch(`${node.url}/healthz`)).toMatchObject({ status: 200 })
    },
    DEADLINE_MS,
  )

  test(
    'STUN over TCP: `peerage stun` lives and answers',
    async () => {
      await ensureBuilt()
      const child = await startChild({
        command: process.execPath,
        args: [PEERAGE_BIN, 'stun', '--port', '0', '--host', '127.0.0.1'],
      })
      onTestFinished(() => child.stop())
      const port = await child.line((line) => /"port":(\d+)/.exec(line)?.[1], DEADLINE_MS)
      await resetAll(Number(port), stunResets())
    },
    DEADLINE_MS,
  )
})

describe('a connection that stops half-way', () => {
  const upgrade = 'GET /peerage/?EIO=4&transport=websocket HTTP/1.1\r\nConnection: Upgrade\r\nUpgra'
  const stages = (many: string): Record<string, string> => ({
    'nothing sent': '',
    'half a request line': 'GET /hea',
    'half the headers': 'GET /healthz HTTP/1.1\r\nHost: x\r\nAcc',
    'half an upgrade': upgrade,
    'half a body': 'POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nhalf',
    'answers that are not read': `GET ${many} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(MANY),
  })

  async function isEnded(port: number, text: string): Promise<void> {
    const socket = connect({ port, host: '127.0.0.1' })
    onTestFinished(() => void socket.destroy())
    socket.on('error', () => {})
    const closed = new Promise<true>((resolve) => socket.once('close', () => resolve(true)))
    // Unread responses block the node's writes. The node then ends the connection at the blocked write.
    if (text.length < MANY) socket.resume()
    socket.write(text)
    const late = setTimeout(ENDED_WITHIN_MS, false, { ref: false })
    const stage = `port ${port}, after ${JSON.stringify(text.slice(0, 40))}`
    expect(await Promise.race([closed, late]), stage).toBe(true)
  }

  test(
    '[WH11] is ended at each port, also with TLS',
    async () => {
      const certificates = await makeCertificates()
      onTestFinished(() => certificates.remove())
      const tls = await startNode({ args: ['--tls-cert', certificates.cert, '--tls-key', certificates.key] })
      onTestFinished(() => tls.stop())
      const admin = Number(new URL(node.admin ?? '').port)
      await Promise.all([
        ...Object.values(stages('/version')).map((text) => isEnded(node.port, text)),
        ...Object.values(stages('/metrics')).map((text) => isEnded(admin, text)),
        // Half a ClientHello (RFC 8446 §4.1.2).
        ...['', '\x16\x03\x01\x02'].map((text) => isEnded(tls.port, text)),
      ])
      expect(await fetch(`${node.url}/healthz`)).toMatchObject({ status: 200 })
    },
    2 * ENDED_WITHIN_MS,
  )
})
