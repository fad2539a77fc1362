// A shared text by unmodified y-webrtc and yjs, in Node or in a page.
import { WebrtcProvider } from 'y-webrtc'
import * as Y from 'yjs'
import { until } from './until.mjs'

const doc = new Y.Doc()
const text = doc.getText('text')
let provider

export const peer = {
  /** `password` encrypts what the provider publishes. */
  join: ({ url, room, password = null }) => {
    provider = new WebrtcProvider(room, doc, {
      signaling: [url],
      password,
      // Otherwise a provider ignores peers that it also meets over a BroadcastChannel.
      filterBcConns: false,
      peerOpts: { config: { iceServers: [] }, ...(globalThis.wrtc && { wrtc: globalThis.wrtc }) },
    })
  },
  /** Adds words to the end of the text. */
  say: ({ words }) => text.insert(text.length, words.map((word) => `${word} `).join('')),
  /** Waits until the text has all words, and returns it. */
  hear: ({ words }) =>
    until(() => words.every((word) => text.toJSON().includes(`${word} `)) && text.toJSON()),
  /** Waits until this many channels are open. */
  met: ({ count }) => until(() => connected().length >= count),
  state: () => ({
    text: text.toJSON(),
    connections: [...(provider?.room?.webrtcConns.values() ?? [])].map(({ peer, connected, synced }) => ({
      initiator: peer.initiator,
      connected,
      synced,
      state: peer._pc?.connectionState,
    })),
  }),
}

function connected() {
  return [...(provider?.room?.webrtcConns.values() ?? [])].filter((conn) => conn.connected)
}
