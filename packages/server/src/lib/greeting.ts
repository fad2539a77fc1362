/** What a PeerJS server says of itself to whoever asks its root. */
export const greeting = {
  name: 'Peerage',
  description:
    'Finds peers and carries their handshakes, for PeerJS clients and its own, on any node of a cluster.',
  website: 'https://www.npmjs.com/package/@peerage/server',
} as const
