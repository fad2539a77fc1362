import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { freePort } from '@peerage/test-support/ports.js'
import { startChild } from '@peerage/test-support/process.js'
import type { Program } from './participants.js'

/** A server of one wire's own project. */
export interface Reference {
  /** `ws://127.0.0.1:PORT`. */
  readonly url: string
  stop(): Promise<void>
}

const START_DEADLINE_MS = 10_000

/** The server of y-webrtc 10.3.0. */
async function startYWebrtcServer(): Promise<Reference> {
  const port = await freePort()
  const child = await startChild({
    command: process.execPath,
    args: [`${REPOSITORY}node_modules/y-webrtc/bin/server.js`],
    env: { PORT: String(port) },
  })
  await child.line((line) => line.includes('Signaling server running') || undefined, START_DEADLINE_MS)
  return { url: `ws://127.0.0.1:${port}`, stop: () => child.stop() }
}

/** The server of bittorrent-tracker 11.2.3. */
async function startTrackerServer(): Promise<Reference> {
  const port = await freePort()
  const args = [`${REPOSITORY}node_modules/bittorrent-tracker/bin/cmd.js`, '--ws', '--port', String(port)]
  const child = await startChild({ command: process.execPath, args })
  await child.line((line) => line.includes('WebSocket tracker:') || undefined, START_DEADLINE_MS)
  return { url: `ws://127.0.0.1:${port}`, stop: () => child.stop() }
}

/** A relay as trystero's packages/ws-relay has it: each publication goes to all subscribers, the sender among them. */
async function startTrysteroRelay(): Promise<Reference> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  const topics = new Map<string, Set<WebSocket>>()
  server.on('connection', (socket) => {
    socket.on('message', (data: Buffer) => {
      const { type, topic, payload } = JSON.parse(String(data))
      const members = topics.get(topic) ?? new Set()
      topics.set(topic, members)
      if (type === 'subscribe') members.add(socket)
      if (type === 'unsubscribe') members.delete(socket)
      if (type === 'publish') for (const member of members) member.send(JSON.stringify({ topic, payload }))
    })
    socket.on('close', () => topics.forEach((members) => members.delete(socket)))
  })
  await once(server, 'listening')
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      for (const socket of server.clients) socket.terminate()
      server.close()
    },
  }
}

/** The server that a client's own project has for it. */
export function startReference(program: Program): Promise<Reference> {
  switch (program) {
    case 'y-webrtc':
      return startYWebrtcServer()
    case 'webtorrent':
    case 'tracker':
    case 'trystero-torrent':
      return startTrackerServer()
    case 'trystero-relay':
      return startTrysteroRelay()
  }
}
