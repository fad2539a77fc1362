// The unmodified client of bittorrent-tracker, without a torrent. For Node only: its code for browsers needs shims of Node's
// modules, as WebTorrent's own script has them.
import Client from 'bittorrent-tracker/client'
import { until } from './until.mjs'

let client
const updates = []
const warnings = []
const peers = []

export const peer = {
  announce: ({ url, infoHash, peerId, left }) => {
    client = new Client({
      infoHash,
      peerId,
      announce: [url],
      port: 6881,
      rtcConfig: { iceServers: [] },
      getAnnounceOpts: () => ({ uploaded: 0, downloaded: 0, left, numwant: 5 }),
    })
    client.on('error', (error) => warnings.push(String(error)))
    client.on('warning', (warning) => warnings.push(String(warning)))
    client.on('update', ({ complete, incomplete, interval }) =>
      updates.push({ complete, incomplete, interval }),
    )
    client.on('peer', (peer) => peer.once('connect', () => peers.push(peer.id)))
    client.start()
  },
  complete: () => client.complete(),
  stop: () => client.stop(),
  update: () => client.update(),
  /** Waits for an answer of the tracker with these counts. */
  counted: ({ complete, incomplete }) =>
    until(() => updates.find((update) => update.complete === complete && update.incomplete === incomplete)),
  /** Waits until channels to these peers are open. */
  connected: ({ peerIds }) => until(() => peerIds.every((id) => peers.includes(id))),
  scrape: ({ url, infoHashes }) =>
    new Promise((resolve, reject) => {
      const options = { infoHash: infoHashes, announce: [url] }
      Client.scrape(options, (error, results) => (error ? reject(error) : resolve(results)))
    }),
  state: () => ({ updates, warnings, peers }),
}
