import type { NodeId } from '@peerage/protocol'
import type { Socket } from 'node:net'
import { TLSSocket, connect } from 'node:tls'
import type { Announcement, Proof } from './announcement.js'
import { commonNameOf, fingerprint } from './certificate.js'
import { encodeHello, isSame, readHello } from './hello.js'
import type { Identity } from './identity.js'
import type { Proven } from './link.js'

// Both ends of a new connection prove who they are before anything else is read. With TLS, the handshake shows that the
// other end has the key of its certificate, and each end compares that certificate with the one that the node has
// announced. Without TLS, each end sends the token that the other has announced, which shows that it may read the store.

/** The other end is not the intended node: another process is at that address now. */
export class WrongNodeError extends Error {}

/** The other end is the right node but takes no link: it has busier ones, or already one to this node. */
export class BusyError extends Error {}

/** What the accepting side has to know. */
export interface Asked {
  /** Finds what a node has announced in the store. */
  find: (node: string) => Promise<{ node: NodeId; announcement: Announcement } | undefined>
  /** Whether this node takes a link from that node now. */
  wants: (node: NodeId) => boolean
}

/** For the dialling side: proves this end, and checks that the other end is `node`. */
export async function proveDialled(
  socket: Socket,
  identity: Identity,
  node: NodeId,
  { proof }: Announcement,
): Promise<Proven> {
  const secured = identity.plain ? socket : await secure(socket, identity, false)
  if (secured instanceof TLSSocket && !hasCertificate(secured, node, proof))
    throw new WrongNodeError('another node answered: its certificate is not the announced one')
  const token = proof.type === 'token' ? { token: proof.token } : {}
  secured.write(encodeHello({ from: identity.node, to: node, ...token }))
  const { hello, rest } = await readHello(secured)
  if (hello.from !== node || hello.to !== identity.node || !tokenFits(identity, hello.token))
    throw new WrongNodeError('another node answered')
  if (hello.busy) throw new BusyError('the node takes no link from this one now')
  return { socket: secured, node, dialled: true, rest }
}

/**
 * For the accepting side: checks which node the other end is, and proves this end. If this node takes no link, its answer
 * says so, because the other end would otherwise end another link for this one. Rejects with BusyError then.
 */
export async function proveAccepted(socket: Socket, identity: Identity, asked: Asked): Promise<Proven> {
  if (identity.plain) return acceptPlain(socket, identity, asked)
  const secured = await secure(socket, identity, true)
  const certificate = secured.getPeerX509Certificate()
  const name = certificate === undefined ? undefined : commonNameOf(certificate)
  const found = name === undefined ? undefined : await asked.find(name)
  if (found === undefined || !hasCertificate(secured, found.node, found.announcement.proof))
    throw new Error('the certificate is not one that a node has announced')
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
    // The NodeId is not secret: with TLS the certificate shows it, too. The dialling side learns that the network works.
    socket.write(encodeHello({ from: identity.node, to: hello.from }))
    throw new Error('the hello is for another node')
  }
  if (!tokenFits(identity, hello.token)) throw new Error('the token is not the one of this node')
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
  throw new BusyError('this node takes no link from that one now')
}

function tokenFits(identity: Identity, token: string | undefined): boolean {
  return !identity.plain || isSame(token, identity.token)
}

/** Resolves after the TLS handshake. Rejects a resumed session, because in it the other end does not show its key. */
function secure(
  socket: Socket,
  { context }: Identity & { plain: false },
  isServer: boolean,
): Promise<TLSSocket> {
  // These certificates are self-signed, so the handshake accepts any, and the fingerprint is compared afterwards.
  const options = { secureContext: context, requestCert: true, rejectUnauthorized: false }
  const secured = isServer ? new TLSSocket(socket, { ...options, isServer }) : connect({ ...options, socket })
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(new Error('the connection ended in its TLS handshake'))
    secured.on('error', reject).once('close', onClose)
    // For a TLSSocket that no TLS server made, Node.js reports forged bytes after the handshake only by this event.
    secured.on('_tlsError', () => secured.destroy())
    secured.once(isServer ? 'secure' : 'secureConnect', () => {
      secured.off('close', onClose)
      if (secured.isSessionReused()) reject(new Error('the TLS session was resumed'))
      else resolve(secured)
    })
  })
}

function hasCertificate(socket: TLSSocket, node: NodeId, proof: Proof): boolean {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined || proof.type !== 'certificate') return false
  return commonNameOf(certificate) === node && isSame(fingerprint(certificate.raw), proof.sha256)
}
