// A file by unmodified WebTorrent, in Node or in a page. It uses only the tracker that it is given.
import WebTorrent from 'webtorrent'
import { until } from './until.mjs'

const RANDOM_BYTES = 65_536
let client
let torrent
const warnings = []

export const peer = {
  /**
   * Shares random bytes. `bytesPerSecond` limits what it sends. Resolves when the tracker has answered both of its first
   * announces, `completed` and `started`: if two peers offer to each other at the same time, each drops the other's
   * connection (webtorrent/webtorrent#401).
   */
  seed: async ({ url, bytes, bytesPerSecond = -1 }) => {
    const content = new Uint8Array(bytes)
    for (let at = 0; at < bytes; at += RANDOM_BYTES)
      crypto.getRandomValues(content.subarray(at, at + RANDOM_BYTES))
    start({ uploadLimit: bytesPerSecond })
    const file = new File([content], 'file.bin')
    torrent = client.seed(globalThis.wrtc ? Buffer.from(content) : file, {
      name: 'file.bin',
      announceList: [[url]],
      path: '.',
    })
    keep()
    let answers = 0
    torrent.on('trackerAnnounce', () => answers++)
    await until(() => answers >= 2)
    return { infoHash: torrent.infoHash, sha256: await sha256(content) }
  },
  fetch: ({ url, infoHash }) => {
    start({})
    torrent = client.add(infoHash, { announce: [url], path: '.' })
    keep()
  },
  /** Waits until this share of the file, from 0 to 1, has arrived. */
  progress: ({ share }) => until(() => torrent.progress >= share && torrent.progress),
  /** Waits for the whole file, and returns its hash. */
  done: async () => {
    await until(() => torrent.done)
    return sha256(await torrent.files[0].arrayBuffer())
  },
  state: () => ({ progress: torrent?.progress, peers: torrent?.numPeers, warnings }),
}

function start(options) {
  client = new WebTorrent({
    dht: false,
    lsd: false,
    natPmp: false,
    natUpnp: false,
    utPex: false,
    webSeeds: false,
    tracker: { rtcConfig: { iceServers: [] } },
    ...options,
  })
  client.on('error', (error) => warnings.push(String(error)))
}

function keep() {
  torrent.on('warning', (warning) => warnings.push(String(warning)))
}

async function sha256(content) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', content))
  return [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
