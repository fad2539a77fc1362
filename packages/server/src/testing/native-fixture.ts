import { once } from 'node:events'
import type { Server as HttpServer } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Node, defaultTimes, memoryCluster, systemClock } from '@peerage/core'
import type { Backend, Clock, Times } from '@peerage/core'
import { WebSocket } from 'ws'
import { AppBudgets } from '../apps/budgets.js'
import type { ConfigInput } from '../config/schema.js'
import { NativeGateway } from '../gateway/native/gateway.js'
import type { NativeGatewayOptions } from '../gateway/native/options.js'
import { Addresses } from '../gateway/shared/address.js'
import { Limits } from '../gateway/shared/limits.js'
import { appsOf } from './apps.js'
import { unlimited, type TestLimits } from './unlimited.js'

const closers: (() => Promise<void> | void)[] = []

/** Runs when the test ends. */
export function atEnd(close: () => Promise<void> | void): void {
  closers.push(close)
}

/** Ends everything that the fixtures of a test have opened. */
export async function closeNative(): Promise<void> {
  for (const close of closers.splice(0).toReversed()) await close()
}

export interface NativeFixture {
  url: string
  http: HttpServer
  node: Node
  gateway: NativeGateway
  counted: string[]
}

/** Starts a node with only the native wire. */
export async function startNative(
  more: Partial<NativeGatewayOptions> & {
    limitValues?: TestLimits
    times?: Partial<Times>
    claimMs?: number
    backend?: Backend
    settings?: ConfigInput
    clock?: Clock
  } = {},
): Promise<NativeFixture> {
  const { limitValues = unlimited, times, claimMs = 10_000, backend, settings, ...options } = more
  const { connection, name } = limitValues
  const relay = { bytesPerSecond: 1_000_000_000, messageBytes: 10_000 }
  const apps =
    more.apps ?? appsOf({ relay, ...settings, limits: { connection, name, ...settings?.limits } }, more.clock)
  const counted: string[] = []
  const node = new Node({
    backend: backend ?? memoryCluster().backend(),
    times: { ...defaultTimes, ...times },
    clock: systemClock,
    claimMs,
    mailboxMs: 5_000,
    onError: (error) => counted.push(`error ${String(error)}`),
    onEvent: () => {},
  })
  await node.start()
  const metrics: NativeGatewayOptions['metrics'] = {
    connected: () => {},
    registered: (_, result) => counted.push(`registered ${result}`),
    routed: (_, kind, result) => counted.push(`${kind} ${result}`),
    rejected: (_, reason) => counted.push(`rejected ${reason}`),
    closed: (_, reason) => counted.push(`closed ${reason}`),
    appRouted: (label, isOk) => counted.push(`app ${label} ${isOk}`),
    appRefused: (label, reason) => counted.push(`app ${label} ${reason}`),
    handshake: (path, stage) => counted.push(`handshake ${path} ${stage}`),
  }
  const gateway = new NativeGateway({
    node,
    clock: systemClock,
    apps,
    budgets: new AppBudgets(apps, more.clock ?? systemClock, metrics),
    addresses: new Addresses([]),
    limits: new Limits(limitValues, systemClock),
    metrics,
    log: () => {},
    onRefused: ({ wire, code, detail, origin }) =>
      counted.push(`refused ${wire} ${code} ${origin}: ${detail}`),
    engine: { pingIntervalMs: 10_000, pingTimeoutMs: 5_000, frameBytes: 65_536, bufferedBytes: 262_144 },
    commandMs: 800,
    path: '/peerage/',
    welcome: () => ({
      p2pServer: null,
      graceMs: 30_000,
      deadlineMs: 30_000,
      pingMs: 15_000,
    }),
    turn: () => null,
    onError: (error) => counted.push(`error ${String(error)}`),
    ...options,
  })
  gateway.start()
  const http = createServer((_, response) => response.end('not here'))
  http.on('upgrade', (request, socket, head) => gateway.handleUpgrade(request, socket, head))
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  closers.push(async () => {
    gateway.stop()
    await node.stop()
    http.closeAllConnections()
    http.close()
  })
  const { port } = http.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, http, node, gateway, counted }
}

/** A peer that reads and writes plain WebSocket frames, without the SDK. */
export class RawPeer {
  readonly ws: WebSocket
  readonly frames: string[] = []
  closed: { code: number; reason: string } | undefined
  #wake: (() => void)[] = []

  constructor(url: string, headers: Record<string, string> = {}) {
    this.ws = new WebSocket(`${url.replace('http', 'ws')}/peerage/?EIO=4&transport=websocket`, { headers })
    this.ws.on('message', (data: Buffer) => this.#got(data.toString()))
    this.ws.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() }
      this.#rouse()
    })
    this.ws.on('error', () => {})
    closers.push(() => this.ws.terminate())
  }

  #got(frame: string): void {
    if (frame === '2') this.ws.send('3')
    else this.frames.push(frame)
    this.#rouse()
  }

  #rouse(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** Waits for the first frame that fits. The timeout of the test is the deadline. */
  async until(fits: (frame: string) => boolean): Promise<string> {
    for (;;) {
      const found = this.frames.find(fits)
      if (found !== undefined) return found
      if (this.closed)
        throw new Error(`closed ${this.closed.code} before the frame came: ${this.frames.join(' ')}`)
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  /** Waits for the first event of a type, and returns its fields. */
  async event(type: string): Promise<Record<string, unknown>> {
    const frame = await this.until((text) => text.startsWith(`42["${type}",`))
    const [, fields]: [string, Record<string, unknown>] = JSON.parse(frame.slice(2))
    return fields
  }

  async end(): Promise<{ code: number; reason: string }> {
    while (!this.closed) await new Promise<void>((resolve) => this.#wake.push(resolve))
    return this.closed
  }

  send(type: string, fields: unknown): void {
    this.ws.send(`42${JSON.stringify([type, fields])}`)
  }

  async claim(hello: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    await this.until((frame) => frame.startsWith('0'))
    this.ws.send(`40${JSON.stringify({ v: 1, secret: 's'.repeat(22), ...hello })}`)
    return this.event('welcome')
  }

  async refused(hello: Record<string, unknown>): Promise<{ message: string; data: Record<string, unknown> }> {
    await this.until((frame) => frame.startsWith('0'))
    this.frames.length = 1
    this.ws.send(`40${JSON.stringify({ v: 1, secret: 's'.repeat(22), ...hello })}`)
    return JSON.parse((await this.until((frame) => frame.startsWith('44'))).slice(2))
  }
}

export async function named(url: string, name: string): Promise<RawPeer> {
  const peer = new RawPeer(url)
  await peer.claim({ name })
  return peer
}
