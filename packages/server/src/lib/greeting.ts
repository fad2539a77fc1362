/** What a PeerJS server says of itself to whoever asks its root. */
export const greeting = {
  name: 'Peerage',
  description:
    'Finds peers and carries their handshakes, for PeerJS clients and its own, on any node of a cluster.',
  // The same page that a PeerJS server names: it documents the clients. Peerage has no public page yet.
  website: 'https://peerjs.com/',
} as const
