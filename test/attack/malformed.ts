import { malformedFrames } from '@peerage/test-support/testing/server.js'

const HASH = 'h'.repeat(20)
const PEER = 'p'.repeat(20)
const UUID = '67e55044-10b1-426f-9247-bb680e5fe0c8'
const SDP = 'v=0\r\n'

const offer = { offer: { type: 'offer', sdp: SDP }, offer_id: 'o'.repeat(20) }
const announce = { action: 'announce', info_hash: HASH, peer_id: PEER, numwant: 2, left: 0, event: 'started' }

/** One valid frame of each kind, by wire. The kinds and fields are those of each gateway's codec. */
const VALID: Readonly<Record<string, Parameters<typeof malformedFrames>[0]>> = {
  'y-webrtc': [
    { type: 'subscribe', topics: ['malformed'] },
    { type: 'unsubscribe', topics: ['malformed'] },
    {
      type: 'publish',
      topic: 'malformed',
      data: { type: 'signal', from: UUID, to: UUID, token: 1, signal: { type: 'offer', sdp: SDP } },
    },
    { type: 'ping' },
  ],
  trystero: [
    { type: 'subscribe', topic: 'malformed' },
    { type: 'unsubscribe', topic: 'malformed' },
    { type: 'publish', topic: 'malformed', payload: { peerId: PEER } },
  ],
  webtorrent: [
    { ...announce, offers: [offer, offer] },
    {
      action: 'announce',
      info_hash: HASH,
      peer_id: PEER,
      to_peer_id: PEER,
      answer: { type: 'answer', sdp: SDP },
      offer_id: 'o'.repeat(20),
    },
    { action: 'scrape', info_hash: [HASH] },
  ],
  matchbox: [{ Signal: { receiver: UUID, data: { Offer: SDP } } }],
}

/** All malformed frames of each wire. */
export function allMalformed(): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(VALID).map(([wire, frames]) => [wire, [...malformedFrames(frames)]]),
  )
}
