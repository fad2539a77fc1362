import type { Sharing, SharingOptions } from '../sharing.js'
import { SharingHub } from './sharing-hub.js'

/**
 * Shares files and texts by a link, a code or a password. The two peers prove to each other that they have the link, so no
 * node between them can look at the files or change them. Bytes go directly from peer to peer, through a TURN server, or,
 * if there is no other path, through the server, sealed.
 * @example
 * // The sender:
 * const sharing = createSharing({ store })
 * const peer = await connect('https://peers.example', { p2p: { verify: sharing.verify } })
 * sharing.start(peer)
 * const host = sharing.host()
 * host.add(sources)
 * console.log(host.link('https://peers.example/'))
 * @example
 * // The receiver, with the name and the fragment of that link:
 * const session = await sharing.join(link)
 * session.transfer.onChange(() => {
 *   const offered = session.transfer.state.items.filter((item) => item.kind === 'file' && item.state.name === 'offered')
 *   session.transfer.accept(offered.map(({ key }) => key))
 * })
 */
export function createSharing(options: SharingOptions): Sharing {
  return new SharingHub(options)
}
