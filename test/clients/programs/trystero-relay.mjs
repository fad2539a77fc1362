// trystero's strategy for a relay of its own (packages/ws-relay) is not on npm. This one speaks its wire, from the factory
// of trystero's core.
import { createRelayManager, createStrategy, fromJson, makeSocket, selfId, toJson } from '@trystero-p2p/core'
import { roomPeer } from './trystero-room.mjs'

const relays = createRelayManager((client) => client.socket)
/** The handlers of each topic, by relay. */
const handlers = relays.scoped()

const joinRoom = createStrategy({
  init: ({ relayConfig: { urls } }) =>
    urls.map((url) => {
      const client = relays.register(url, () => makeSocket(url, receive, subscribeAgain))
      return client.ready

      function receive(text) {
        const { topic, payload } = fromJson(text)
        handlers.forKey(url)[topic]?.(topic, payload)
      }
      function subscribeAgain() {
        for (const topic of Object.keys(handlers.forKey(url)))
          client.send(toJson({ type: 'subscribe', topic }))
      }
    }),
  subscribe: (client, rootTopic, selfTopic, onMessage) => {
    const topics = [rootTopic, selfTopic]
    const publish = (topic, payload) => client.send(toJson({ type: 'publish', topic, payload }))
    for (const topic of topics) {
      handlers.forRelay(client)[topic] = (topic, payload) => onMessage(topic, payload, publish)
      client.send(toJson({ type: 'subscribe', topic }))
    }
    return () => {
      for (const topic of topics) {
        delete handlers.forRelay(client)[topic]
        client.send(toJson({ type: 'unsubscribe', topic }))
      }
    }
  },
  announce: (client, topic) =>
    client.send(toJson({ type: 'publish', topic, payload: toJson({ peerId: selfId }) })),
})

export const peer = roomPeer(joinRoom)
