import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type * as PeerJs from 'peerjs'
import type { DataConnection, MediaConnection, Peer } from 'peerjs'
import type { Page } from 'playwright-core'
import { REPOSITORY } from '@peerage/test-support/node.js'

declare global {
  // Globals of a page in these tests, which its script below sets.
  var peerjs: typeof PeerJs
  var msgpack: { MsgPack: new (...args: never[]) => DataConnection }
  var peer: Peer
  var said: string[]
  var connections: Map<string, DataConnection>
  var received: { from: string; label: string; data: string }[]
  var media: MediaConnection | undefined
}

export interface Pages {
  /** `http://127.0.0.1:PORT/`: a page that has loaded only the unmodified peerjs@1.5.5 from npm. */
  readonly url: string
  stop(): Promise<void>
}

const DIST = `${REPOSITORY}node_modules/peerjs/dist/`
const files = new Map([
  ['/', { type: 'text/html', file: '' }],
  ['/peerjs.min.js', { type: 'text/javascript', file: `${DIST}peerjs.min.js` }],
  ['/serializer.msgpack.mjs', { type: 'text/javascript', file: `${DIST}serializer.msgpack.mjs` }],
])
const HTML = `<!doctype html><title>PeerJS</title>
<script src="/peerjs.min.js"></script>
<script type="module">
  import * as msgpack from '/serializer.msgpack.mjs'
  globalThis.msgpack = msgpack
  globalThis.said = []
  globalThis.received = []
  globalThis.connections = new Map()
  document.title = 'ready'
</script>`

export async function servePages(): Promise<Pages> {
  const server = createServer((request, response) => {
    const found = files.get(request.url?.split('?')[0] ?? '')
    if (found === undefined) {
      response.writeHead(404).end()
      return
    }
    response.writeHead(200, { 'content-type': found.type, 'cache-control': 'max-age=600' })
    response.end(found.file === '' ? HTML : readFileSync(found.file))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    stop: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

export interface PeerOptions {
  host: string
  port: number
  path?: string
  /** Absent: PeerJS asks the server for an id. */
  id?: string
  token?: string
  key?: string
  /** Whether the server is behind TLS. */
  secure?: boolean
}

/** Creates a PeerJS Peer in the page and waits for its `open`. The page records the events that follow. */
export async function openPeer(page: Page, options: PeerOptions): Promise<string> {
  await page.waitForFunction(() => document.title === 'ready')
  return page.evaluate(({ id, ...options }) => {
    const { Peer } = globalThis.peerjs
    const settings = {
      ...options,
      debug: 0,
      config: { iceServers: [] },
      // PeerJS's own MsgPackPeer uses this name, and writes it into its offers.
      serializers: { MsgPack: globalThis.msgpack.MsgPack },
    }
    // Reflect.construct avoids a type error: this DataConnection is another copy of PeerJS's class.
    const peer: Peer = Reflect.construct(Peer, id === undefined ? [settings] : [id, settings])
    globalThis.peer = peer
    const describe = (data: unknown): string => {
      if (data instanceof ArrayBuffer) return `bytes ${new Uint8Array(data).join(',')}`
      if (ArrayBuffer.isView(data))
        return `bytes ${new Uint8Array(data.buffer, data.byteOffset, data.byteLength).join(',')}`
      return JSON.stringify(data)
    }
    const keep = (connection: DataConnection): void => {
      globalThis.connections.set(connection.label, connection)
      connection.on('data', (data) => {
        globalThis.received.push({ from: connection.peer, label: connection.label, data: describe(data) })
      })
      connection.on('close', () => globalThis.said.push(`closed ${connection.label}`))
      connection.on('error', (error) =>
        globalThis.said.push(`connection error ${error.type} ${error.message}`),
      )
    }
    Object.assign(globalThis, { keep })
    peer.on('connection', keep)
    peer.on('error', (error) => globalThis.said.push(`error ${error.type} ${error.message}`))
    peer.on('disconnected', () => globalThis.said.push('disconnected'))
    peer.on('close', () => globalThis.said.push('destroyed'))
    peer.on('call', (call) => {
      globalThis.media = call
      call.answer()
      call.on('stream', (stream) => {
        const kinds = stream.getTracks().map((track) => track.kind)
        globalThis.said.push(`stream ${kinds.sort().join(' ')}`)
      })
    })
    return new Promise<string>((resolve, reject) => {
      peer.on('open', resolve)
      peer.on('error', (error) => reject(new Error(`${error.type}: ${error.message}`)))
    })
  }, options)
}

/** Opens a data connection from this page's peer, and waits until PeerJS reports it as open. */
export function connectTo(page: Page, to: string, label: string, serialization: string): Promise<void> {
  return page.evaluate(
    ({ to, label, serialization }) => {
      const connection = globalThis.peer.connect(to, {
        label,
        serialization,
        reliable: true,
        metadata: { label },
      })
      const keep: unknown = Reflect.get(globalThis, 'keep')
      if (typeof keep === 'function') keep(connection)
      return new Promise<void>((resolve, reject) => {
        connection.on('open', () => resolve())
        globalThis.peer.on('error', (error) => reject(new Error(`${error.type}: ${error.message}`)))
      })
    },
    { to, label, serialization },
  )
}

/** Waits until the page has received `count` messages with this label, and returns them. */
export async function receivedBy(page: Page, label: string, count: number): Promise<string[]> {
  await page.waitForFunction(
    ({ label, count }) => globalThis.received.filter((one) => one.label === label).length >= count,
    { label, count },
  )
  return page.evaluate(
    (label) => globalThis.received.filter((one) => one.label === label).map((one) => one.data),
    label,
  )
}

export function saidBy(page: Page): Promise<string[]> {
  return page.evaluate(() => globalThis.said)
}
