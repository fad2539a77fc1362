import { connect, PeerageError } from '@peerage/client'
import type { Peer, PeerState } from '@peerage/client'
import { createSharing, parseFragment, StoreError } from '@peerage/client/transfer'
import type { Sharing, ShareLink, Store } from '@peerage/client/transfer'
import { parseName } from '@peerage/protocol'
import { LateStorage } from './late-storage.js'
import { deviceOf } from './model/device.js'
import type { Connection, LinkReading, ServerState } from './model/world.js'
import { ConnectionFailure } from './model/world.js'
import { isGuest } from './is-guest.js'

// The page's connection to the server, and to other peers.

/** @throws ConnectionFailure */
export async function connected(signal: AbortSignal): Promise<Connection> {
  const missing = new Missing()
  const storage = new LateStorage(address(), (error) => missing.tell(error))
  const sharing = createSharing({
    channels: 4,
    store: unusedStore,
    device: deviceOf(navigator),
    connectAs: (name) => connect(address(), { name, storage: null, p2p: false, timeoutMs: CODE_MS }),
    onError: (error) => missing.report(error),
  })
  // A guest needs all of it soon. Who needs a part that is missing says so.
  if (isGuest()) for (const loading of [sharing.load(), storage.open()]) loading.catch(() => {})
  const peer = await connectOrExplain(sharing, signal)
  sharing.start(peer)
  return connectionOf(peer, sharing, storage, missing)
}

/** Errors of the program. Those that say that a part of the page is missing are for the person. */
class Missing {
  #listener: (error: unknown) => void = () => {}

  onMissing(listener: (error: unknown) => void): void {
    this.#listener = listener
  }

  tell(error: unknown): void {
    this.#listener(error)
  }

  report(error: unknown): void {
    if (error instanceof PeerageError && error.code === 'not-loaded') this.tell(error)
    else console.error(error)
  }
}

/** The page names a store whenever it accepts files. */
const unusedStore: Store = {
  isDurable: false,
  bytesMax: 0,
  open: () => Promise.reject(new StoreError('failed', 'No place was chosen for this file.')),
}

/** How long a page tries to get a name for a code. */
const CODE_MS = 10_000

/** The address of this page, with its folder, and without its query and fragment. */
function address(): string {
  const { origin, pathname } = new URL('.', location.href)
  return origin + pathname
}

async function connectOrExplain(sharing: Sharing, signal: AbortSignal): Promise<Peer> {
  try {
    return await connect(address(), { signal, p2p: { verify: sharing.verify, loadLater: !isGuest() } })
  } catch (error) {
    if (!(error instanceof PeerageError)) throw error
    console.warn(error)
    const { code: why } = error
    const isNetwork = why === 'unreachable' || why === 'timeout'
    throw new ConnectionFailure(why === 'not-loaded' ? why : isNetwork ? 'unreachable' : 'refused', {
      cause: error,
    })
  }
}

function connectionOf(peer: Peer, sharing: Sharing, storage: LateStorage, missing: Missing): Connection {
  const hasWebRtc = typeof RTCPeerConnection === 'function'
  return {
    name: peer.name,
    direct: !hasWebRtc ? 'no-webrtc' : peer.p2p === null ? 'off' : 'possible',
    isServerWay: peer.relay !== null,
    onMissing: (listener) => missing.onMissing(listener),
    openSaving: async () => (await storage.open()).saving,
    load: () => sharing.load(),
    readLink,
    shareOf,
    sourceOf: (file, path) => storage.source(file, path),
    onServer: (listener) => void peer.on('state', (state) => listener(serverState(state))),
    host: (options) => sharing.host(options),
    join: (to, options) =>
      typeof to === 'string' ? sharing.joinCode(to, options) : sharing.join(to, options),
  }
}

function serverState(state: PeerState): ServerState {
  switch (state.state) {
    case 'online':
      return 'online'
    case 'connecting':
    case 'reconnecting':
      return 'lost'
    case 'closed':
      return state.reason === 'superseded' ? 'superseded' : 'closed'
  }
}

/** A transfer names a share by the key of its host, in base64url, when it opens the place of a file. */
function shareOf({ fragment }: ShareLink): string | undefined {
  const parsed = parseFragment(fragment)
  if (!parsed.ok) return undefined
  const text = btoa(String.fromCharCode(...parsed.key.keyHash))
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function readLink({ name, fragment }: ShareLink): LinkReading | 'bad-name' {
  if (!parseName(name).ok) return 'bad-name'
  const parsed = parseFragment(fragment)
  if (parsed.ok) return parsed.key.needsPassword ? 'needs-password' : 'ok'
  switch (parsed.why) {
    case 'missing':
    case 'other-version':
      return parsed.why
    case 'cut-short':
      return 'cut'
    case 'too-long':
    case 'bad-characters':
      return 'extra'
  }
}
