import { until } from './until.mjs'

/** A room of unmodified trystero, in Node or in a page. Each member tells every other one all words that it has said. */
export function roomPeer(joinRoom) {
  const said = []
  const heard = new Set()
  let room
  let words
  return {
    join: ({ url, room: name, password }) => {
      const config = {
        appId: 'peerage-tests',
        password,
        relayConfig: { urls: [url] },
        rtcConfig: { iceServers: [] },
        ...(globalThis.wrtc && { rtcPolyfill: globalThis.wrtc.RTCPeerConnection }),
      }
      room = joinRoom(config, name)
      words = room.makeAction('words')
      words.onMessage = (told) => told.forEach((word) => heard.add(word))
      room.onPeerJoin = (id) => void words.send(said, { target: id })
    },
    say: ({ words: more }) => {
      said.push(...more)
      for (const word of more) heard.add(word)
      if (others().length > 0) void words.send(said)
    },
    /** Waits until all words have been said here or there, and returns all that have, in the order of the alphabet. */
    hear: ({ words }) => until(() => words.every((word) => heard.has(word)) && inOrder()),
    met: ({ count }) => until(() => others().length >= count),
    state: () => ({ heard: [...heard], peers: others() }),
  }

  function inOrder() {
    return [...heard].toSorted((a, b) => a.localeCompare(b)).join(' ')
  }
  function others() {
    return Object.keys(room?.getPeers() ?? {})
  }
}
