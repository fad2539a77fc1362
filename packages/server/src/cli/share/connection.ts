import { createRequire } from 'node:module'
import { platform } from 'node:os'
import { connect, PeerageError, type Peer } from '@peerage/client'
import {
  createSharing,
  type HostOptions,
  type JoinOptions,
  type ShareHost,
  type ShareLink,
  type ShareSession,
  type Store,
} from '@peerage/client/transfer'
import type { Tell } from './events.js'

/** What the commands need of the SDK. */
export interface Connection {
  host(options: HostOptions): ShareHost
  /** `where`: a link, or the text of a code. */
  join(where: ShareLink | string, options: JoinOptions): ShareSession
  leave(): Promise<void>
}

export interface ConnectionOptions {
  /** The URL of the server. */
  server: string
  token: string | undefined
  /** Where received files go. */
  store: Store
  /** Ends the attempt to connect. */
  signal: AbortSignal
  tell: Tell
}

/** The server could not be reached, or has refused. */
export class NoServer extends Error {
  override name = 'NoServer'
}

/** @throws NoServer */
export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  const { server, store, signal, tell } = options
  const token = options.token === undefined ? {} : { token: options.token }
  const common = { ...token, storage: null, onRetry: () => {} }
  const sharing = createSharing({
    store,
    device: `Terminal on ${systems[platform()] ?? platform()}`,
    connectAs: (name) => connect(server, { ...common, name, p2p: false }),
  })
  if (!hasWebRtc())
    tell({
      event: 'warning',
      message:
        'No direct connections from here, because the package node-datachannel is not installed: everything goes through the server, encrypted but slower. To change that: npm install node-datachannel, where peerage is installed.',
    })
  const peer = await connect(server, { ...common, signal, p2p: { verify: sharing.verify } }).catch(
    (error: unknown) => {
      throw explained(error, server)
    },
  )
  sharing.start(peer)
  return {
    host: (hosting) => sharing.host(hosting),
    join: (where, joining) =>
      typeof where === 'string' ? sharing.joinCode(where, joining) : sharing.join(where, joining),
    leave: async () => {
      await lastMessages(peer)
      await peer.leave()
    },
  }
}

/** How long a slow path may take for the last messages. */
const LAST_MESSAGES_MS = 3_000

/** Waits until the other sides have all that was sent, such as a goodbye: `leave` drops what is on its way. */
async function lastMessages({ p2p }: Peer): Promise<void> {
  const closing = (p2p?.channels ?? []).filter(({ state }) => state === 'closing')
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => (timer = setTimeout(resolve, LAST_MESSAGES_MS)))
  await Promise.race([Promise.all(closing.map((channel) => channel.close())), late])
  clearTimeout(timer)
}

const systems: Partial<Record<NodeJS.Platform, string>> = {
  darwin: 'macOS',
  linux: 'Linux',
  win32: 'Windows',
  freebsd: 'FreeBSD',
}

function hasWebRtc(): boolean {
  if ('RTCPeerConnection' in globalThis) return true
  try {
    createRequire(import.meta.url).resolve('node-datachannel')
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') return false
    throw error
  }
}

function explained(error: unknown, server: string): unknown {
  if (!(error instanceof PeerageError || error instanceof TypeError)) return error
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : ''
  return new NoServer(`${server}: ${error.message}${cause}`, { cause: error })
}

/** The URL of the server's page, from any URL of the server. Undefined if the text is no such URL. */
export function pageOf(server: string): string | undefined {
  const text = /^[a-z]+:\/\//i.test(server) ? server : `http://${server}`
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  const scheme = { 'http:': 'http:', 'ws:': 'http:', 'https:': 'https:', 'wss:': 'https:' }[url.protocol]
  if (scheme === undefined || url.username !== '' || url.password !== '') return undefined
  return `${scheme}//${url.host}${url.pathname}`
}

/** Whether only this machine reaches the address. */
export const isLoopback = (page: string): boolean =>
  /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(new URL(page).hostname)
