import { createRequire } from 'node:module'
import { platform } from 'node:os'
import { connect, PeerageError } from '@peerage/client'
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
  join(where: ShareLink | string, options: JoinOptions): Promise<ShareSession>
  /** Ends all sessions, and waits until the other sides know. */
  close(): Promise<void>
  /** Goes away, and leaves the sessions to the other sides: they wait for this one to come back. */
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
  let told = ''
  const onRetry = ({ error }: { error: Error }): void => {
    if (error.message !== told) tell({ event: 'warning', message: `${error.message} Trying again.` })
    told = error.message
  }
  const common = { ...token, storage: null, onRetry }
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
      throw explained(error)
    },
  )
  sharing.start(peer)
  return {
    host: (hosting) => sharing.host(hosting),
    join: (where, joining) =>
      typeof where === 'string' ? sharing.joinCode(where, joining) : sharing.join(where, joining),
    close: async () => {
      await sharing.close()
      await peer.leave()
    },
    leave: () => peer.leave(),
  }
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

function explained(error: unknown): unknown {
  const isExpected = error instanceof PeerageError || error instanceof TypeError
  return isExpected ? new NoServer(error.message, { cause: error }) : error
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
