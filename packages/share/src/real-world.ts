import { connect, PeerageError } from '@peerage/client'
import type { Peer, PeerState } from '@peerage/client'
import { completeCode, createSharing, loadCodeWords, parseCode, parseFragment } from '@peerage/client/transfer'
import type { Sharing, ShareLink } from '@peerage/client/transfer'
import { parseName } from '@peerage/protocol'
import { deviceOf } from './model/friendly.js'
import type { Connection, Features, LinkReading, ServerState, TabMemory, World } from './model/world.js'
import { ConnectionFailure } from './model/world.js'
import { receivedInMemory, savingWith } from './saving.js'
import type { PageStorage } from './storage/storage.js'
import { openStorage } from './storage/storage.js'

// The page's connection to everything outside of it: the server, the browser, and this tab.

/** The address of this page, with its folder. */
const here = (): URL => new URL('.', location.href)

export function realWorld(): World {
  let opening: Promise<PageStorage> | undefined
  let opened: PageStorage | undefined
  const storage = async (): Promise<PageStorage> => {
    opening ??= openStorage(here().href)
    opened = await opening
    return opened
  }
  return {
    href: location.href,
    features: featuresHere(),
    memory: tabMemory(),
    languages: navigator.languages,
    connect: async (signal) => connected(await storage(), signal),
    readLink,
    sourceOf: (file, path) => {
      if (opened === undefined) throw new Error('files are added only after `connect`')
      return opened.source(file, path)
    },
    saving: async () => savingWith(await storage()),
    codes: async () => {
      const words = await loadCodeWords()
      return {
        complete: (text) => completeCode(text, words),
        normal: (text) => {
          const parsed = parseCode(text, words)
          return parsed.ok ? parsed.code.text : undefined
        },
      }
    },
    qr: async (text) => (await import('./model/qr.js')).makeQr(text),
    go: (href) => {
      // An address that differs in nothing but its fragment would load nothing.
      if (href.split('#')[0] === location.href.split('#')[0]) location.reload()
      else location.assign(href)
    },
  }
}

async function connected(storage: PageStorage, signal: AbortSignal): Promise<Connection> {
  // What nobody came back for is removed. It takes a moment, and nothing waits for it.
  storage.own?.sweep(Date.now()).catch((error: unknown) => console.warn(error))
  const sharing = createSharing({
    store: storage.own ?? receivedInMemory(),
    device: deviceOf(navigator.userAgent),
    connectAs: (name) => connect(address(), { name, storage: null, p2p: false, timeoutMs: CODE_MS }),
  })
  const peer = await connectOrExplain(sharing, signal)
  sharing.start(peer)
  return connectionOf(peer, sharing)
}

/** How long a page tries to get a name for a code. */
const CODE_MS = 10_000

const address = (): string => here().origin + here().pathname

async function connectOrExplain(sharing: Sharing, signal: AbortSignal): Promise<Peer> {
  try {
    return await connect(address(), { signal, p2p: { verify: sharing.verify } })
  } catch (error) {
    if (!(error instanceof PeerageError)) throw error
    console.warn(error)
    const { code: why } = error
    const isNetwork = why === 'unreachable' || why === 'timeout'
    throw new ConnectionFailure(why === 'not-loaded' ? why : isNetwork ? 'unreachable' : 'refused', { cause: error })
  }
}

function connectionOf(peer: Peer, sharing: Sharing): Connection {
  const hasWebRtc = typeof RTCPeerConnection === 'function'
  return {
    name: peer.name,
    direct: !hasWebRtc ? 'no-webrtc' : peer.p2p === null ? 'off' : 'possible',
    isServerWay: peer.relay !== null,
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

function readLink({ name, fragment }: ShareLink): LinkReading | 'bad-name' {
  if (!parseName(name).ok) return 'bad-name'
  const parsed = parseFragment(fragment)
  if (parsed.ok) return parsed.key.needsPassword ? 'needs-password' : 'ok'
  switch (parsed.why) {
    case 'missing':
    case 'other-version':
      return parsed.why
    case 'cut-short':
    case 'too-long':
    case 'bad-characters':
      return 'cut'
  }
}

function featuresHere(): Features {
  const isTouch = matchMedia('(pointer: coarse)').matches
  return {
    isSecure: isSecureContext,
    isLoopback: /^(?:localhost|.*\.localhost|127(?:\.\d+){3}|\[::1\])$/.test(location.hostname),
    canShare: typeof navigator.share === 'function',
    // Phones show the button, and then let nobody pick a folder.
    canPickFolder: 'webkitdirectory' in document.createElement('input') && !isTouch,
    isTouch,
  }
}

/** Without `sessionStorage`, which a browser may refuse, what is remembered ends with a reload. */
function tabMemory(): TabMemory {
  const own = new Map<string, string>()
  const storage = (): Storage | undefined => {
    try {
      return sessionStorage
    } catch (error) {
      console.info('this tab remembers nothing over a reload', error)
      return undefined
    }
  }
  const found = storage()
  return {
    get: (key) => found?.getItem(key) ?? own.get(key),
    set: (key, value) => {
      own.set(key, value)
      try {
        found?.setItem(key, value)
      } catch (error) {
        // It is full, such as with the names of thousands of files.
        console.warn('this will not be remembered over a reload', error)
        found?.removeItem(key)
      }
    },
    remove: (key) => {
      own.delete(key)
      found?.removeItem(key)
    },
  }
}
