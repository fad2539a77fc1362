/** The JSON with which a PeerJS server answers `GET {path}` [PJ12]. */
export const greeting = {
  name: 'Peerage',
  description:
    'Finds peers and carries their handshakes, for PeerJS peers and native peers, on any node of a cluster.',
  // A PeerJS server sends this key too. The value is empty because the project has no website yet.
  website: '',
} as const
