import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { connect } from '@peerage/client'
import { WebSocket } from 'ws'
import { PeerJsPeer } from '@peerage/test-support/peerjs.js'
import { startChild } from '@peerage/test-support/process.js'

/** The checks, each with 'ok' or its error, and the output of the program. */
export interface Tried {
  checks: Record<string, string>
  output: string
}

const HELLO = 'hello from the application'
const START_MS = 60_000
const STEP_MS = 15_000
const IDLE_MS = 1_300
const END_MS = 15_000

/** Whether the node is attached before the application's own WebSockets, or after them. */
export const ORDERS = ['before', 'after'] as const
export type Order = (typeof ORDERS)[number]

const PROGRAMS = fileURLToPath(new URL('programs/', import.meta.url))

/** Starts an application with an embedded node, uses both, and stops it. `folder` holds its packages. */
export async function tryProgram(program: string, order: Order, folder: string): Promise<Tried> {
  const env = { ATTACH: order, NEXT_TELEMETRY_DISABLED: '1' }
  const args = ['--import', pathToFileURL(join(PROGRAMS, 'localhost.mjs')).href, program]
  const child = await startChild({ command: process.execPath, args, cwd: folder, env })
  const checks: Record<string, string> = {}
  const check = async (what: string, act: () => Promise<unknown>): Promise<void> => {
    checks[what] = await within(STEP_MS, act()).then(() => 'ok', problemOf)
  }
  try {
    const port = await child.line((line) => /^ready (\d+)$/.exec(line)?.[1], START_MS)
    checks['starts'] = 'ok'
    const addresses = await reachable(port)
    const each = (act: (at: string) => Promise<void>) => () =>
      Promise.all(addresses.map((host) => act(`${host}:${port}`)))
    await check('own routes', each(hello))
    await check('own WebSocket', each(echo))
    await check('message between peers', each(message))
    await check('PeerJS: HTTP', each(peerJsId))
    await check('PeerJS: socket', each(peerJsOpen))
    await check('idle peer stays connected', each(idle))
    await check('unknown upgrade is closed', each(unknownUpgrade))
    await child.kill('SIGTERM')
    await check('ends on SIGTERM', async () => {
      const { code, signal } = await within(END_MS, child.stopped)
      if (code !== 0) throw new Error(`ended with ${code ?? signal}`)
    })
  } catch (error) {
    checks['starts'] = problemOf(error)
  } finally {
    await child.stop()
  }
  return { checks, output: child.output() }
}

/** The addresses of localhost on which the program listens. With some frameworks there are two. */
async function reachable(port: string): Promise<string[]> {
  const hosts: string[] = []
  for (const host of ['127.0.0.1', '[::1]']) {
    const answers = fetch(`http://${host}:${port}/hello`).then(() => true)
    if (await answers.catch(() => false)) hosts.push(host)
  }
  if (hosts.length === 0) throw new Error(`nothing answers on port ${port} of localhost`)
  return hosts
}

async function hello(at: string): Promise<void> {
  const response = await fetch(`http://${at}/hello`)
  const text = await response.text()
  if (response.status !== 200 || text !== HELLO) throw new Error(`${at}: ${response.status} ${text}`)
}

async function echo(at: string): Promise<void> {
  const socket = new WebSocket(`ws://${at}/own`)
  await once(socket, 'open')
  socket.send('echo')
  const answer = String((await once(socket, 'message')).at(0))
  socket.close()
  if (answer !== 'echo') throw new Error(`${at}: ${answer}`)
}

async function message(at: string): Promise<void> {
  const options = { p2p: false, timeoutMs: STEP_MS / 2 } as const
  const [alice, bob] = await Promise.all([connect(`http://${at}`, options), connect(`http://${at}`, options)])
  const heard = new Promise((resolve) => bob.on('message', (_from, data) => resolve(data)))
  await alice.send(bob.name, HELLO)
  const data = await heard
  await Promise.all([alice.leave(), bob.leave()])
  if (data !== HELLO) throw new Error(`${at}: ${JSON.stringify(data)}`)
}

async function peerJsId(at: string): Promise<void> {
  const response = await fetch(`http://${at}/peerjs/id`)
  const id = await response.text()
  if (response.status !== 200 || !/^[\w-]{20,}$/.test(id)) throw new Error(`${at}: ${response.status} ${id}`)
}

async function peerJsOpen(at: string): Promise<void> {
  const peer = new PeerJsPeer({ url: `http://${at}`, id: 'somebody' })
  await peer.next('OPEN')
  peer.socket.close()
}

/** socket.io closes upgrades of others after a second. It must not close a silent peer of Peerage. */
async function idle(at: string): Promise<void> {
  const socket = new WebSocket(`ws://${at}/peerage/?EIO=4&transport=websocket`)
  await once(socket, 'message')
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS))
  if (socket.readyState !== WebSocket.OPEN) throw new Error(`${at}: the socket was closed`)
  socket.close()
}

async function unknownUpgrade(at: string): Promise<void> {
  const socket = new WebSocket(`ws://${at}/unknown`)
  socket.on('error', () => undefined)
  await new Promise((resolve) => socket.once('close', resolve))
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms / 1000} s`)), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

function problemOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.replaceAll(/[|\n]/g, ' ').slice(0, 120)
}
