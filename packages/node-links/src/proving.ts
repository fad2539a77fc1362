import type { NodeId } from '@peerage/protocol'
import type { Socket } from 'node:net'
import { TLSSocket, connect } from 'node:tls'
import type { Announcement, Proof } from './announcement.js'
import { commonNameOf, fingerprint } from './certificate.js'
import { encodeHello, isSame, readHello } from './hello.js'
import type { Identity } from './identity.js'
import type { Proven } from './link.js'

// Both ends of a new connection prove who they are, before anything else is read. With TLS each end compares the other's
// certificate with the one that the node has announced, once the handshake has shown that it holds its key. Without TLS each
// end names the token that the other has announced: whoever knows it may read the store.

/** The other end is not the node that it was taken for: another process is at its address by now. */
export class WrongNodeError extends Error {}

/** The other end is right, and keeps no link to this node: it has others that carry more, or one to this node already. */
export class BusyError extends Error {}

/** What the accepting side asks. */
export interface Asked {
  /** What a node has announced in the store. */
  find: (node: string) => Promise<{ node: NodeId; announcement: Announcement } | undefined>
  /** Whether there may be a link to a node now. */
  wants: (node: NodeId) => boolean
}

/** Proves this end of a connection that it has made, and has the other end prove that it is `node`. */
export async function proveDialled(
  socket: Socket,
  identity: Identity,
  node: NodeId,
  { proof }: Announcement,
): Promise<Proven> {
  const secured = identity.plain ? socket : await secure(socket, identity, false)
  if (secured instanceof TLSSocket && !hasCertificate(secured, node, proof))
    throw new WrongNodeError('another node is there: its certificate is not the one that was announced')
  const token = proof.type === 'token' ? { token: proof.token } : {}
  secured.write(encodeHello({ from: identity.node, to: node, ...token }))
  const { hello, rest } = await readHello(secured)
  if (hello.from !== node || hello.to !== identity.node || !tokenFits(identity, hello.token))
    throw new WrongNodeError('another node is there')
  if (hello.busy) throw new BusyError('the node keeps no link to this one now')
  return { socket: secured, node, dialled: true, rest }
}

/**
 * Has the other end of a connection that came in prove which node it is, and proves this end. Where there is to be no link,
 * it says so, for the other end would have ended another link for this one. Rejects with BusyError then.
 */
export async function proveAccepted(socket: Socket, identity: Identity, asked: Asked): Promise<Proven> {
  if (identity.plain) return acceptPlain(socket, identity, asked)
  const secured = await secure(socket, identity, true)
  const certificate = secured.getPeerX509Certificate()
  const name = certificate === undefined ? undefined : commonNameOf(certificate)
  const found = name === undefined ? undefined : await asked.find(name)
  if (found === undefined || !hasCertificate(secured, found.node, found.announcement.proof))
    throw new Error('the connection has no proof')
  const { hello, rest } = await readHello(secured)
  if (hello.from !== found.node || hello.to !== identity.node)
    throw new Error('the hello is for another node')
  return answer({ socket: secured, node: found.node, dialled: false, rest }, identity, asked)
}

async function acceptPlain(
  socket: Socket,
  identity: Identity & { plain: true },
  asked: Asked,
): Promise<Proven> {
  const { hello, rest } = await readHello(socket)
  if (hello.to !== identity.node) {
    // No secret: with TLS the certificate tells it too. So who has dialled knows that nothing is wrong with the network.
    socket.write(encodeHello({ from: identity.node, to: hello.from }))
    throw new Error('the hello is for another node')
  }
  if (!tokenFits(identity, hello.token)) throw new Error('the connection has no proof')
  const found = await asked.find(hello.from)
  if (found?.announcement.proof.type !== 'token') throw new Error('the node has announced no token')
  const { token } = found.announcement.proof
  return answer({ socket, node: found.node, dialled: false, rest }, identity, asked, token)
}

function answer(proven: Proven, identity: Identity, { wants }: Asked, token?: string): Proven {
  const { socket, node } = proven
  const hello = { from: identity.node, to: node, ...(token === undefined ? {} : { token }) }
  if (wants(node)) {
    socket.write(encodeHello(hello))
    return proven
  }
  socket.write(encodeHello({ ...hello, busy: true }))
  throw new BusyError('there is to be no link')
}

function tokenFits(identity: Identity, token: string | undefined): boolean {
  return !identity.plain || isSame(token, identity.token)
}

/** A TLS connection whose handshake is over. A session that is taken up again would show no key. */
function secure(
  socket: Socket,
  { context }: Identity & { plain: false },
  isServer: boolean,
): Promise<TLSSocket> {
  // Nobody has signed these certificates but their owners: what counts is compared after the handshake.
  const options = { secureContext: context, requestCert: true, rejectUnauthorized: false }
  const secured = isServer ? new TLSSocket(socket, { ...options, isServer }) : connect({ ...options, socket })
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(new Error('the connection ended in its TLS handshake'))
    secured.on('error', reject).once('close', onClose)
    // Of a socket that no TLS server has made, Node does not tell more after the handshake: bytes that no key has made.
    secured.on('_tlsError', () => secured.destroy())
    secured.once(isServer ? 'secure' : 'secureConnect', () => {
      secured.off('close', onClose)
      if (secured.isSessionReused()) reject(new Error('the TLS session is not a new one'))
      else resolve(secured)
    })
  })
}

function hasCertificate(socket: TLSSocket, node: NodeId, proof: Proof): boolean {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined || proof.type !== 'certificate') return false
  return commonNameOf(certificate) === node && isSame(fingerprint(certificate.raw), proof.sha256)
}
