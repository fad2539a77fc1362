import { asRecord, asText, type Wire, type WireContext } from './wire.js'

/** The interval of the PeerJS client, version 1.5.5. */
const HEARTBEAT_MS = 5000

/** PeerJS's wire: JSON frames. A relayed candidate carries the body. */
export function peerjsWire(context: WireContext): Wire {
  const { events, name } = context
  let heartbeat: NodeJS.Timeout | undefined
  const query = new URLSearchParams({ key: 'peerjs', id: name, token: context.secret, version: '1.5.5' })
  return {
    path: `/peerjs?${query.toString()}`,
    opened: () => {
      heartbeat = setInterval(() => context.send('{"type":"HEARTBEAT"}'), HEARTBEAT_MS)
    },
    frame: (text) => {
      const message = asRecord(JSON.parse(text))
      if (message['type'] === 'CANDIDATE') {
        const candidate = asRecord(asRecord(message['payload'])['candidate'])
        events.body(asText(message['src']), asText(candidate['candidate']))
      } else if (message['type'] === 'OPEN') events.ready()
      else events.problem(text)
    },
    prepare: () => Promise.resolve(),
    message: (to, body) => {
      const candidate = { candidate: body, sdpMLineIndex: 0, sdpMid: '0' }
      const payload = { candidate, type: 'data', connectionId: `dc_${name}` }
      context.send(JSON.stringify({ type: 'CANDIDATE', payload, dst: to }))
    },
    stop: () => clearInterval(heartbeat),
  }
}
