import type { Admission, Clock, Connection, Holder, Node } from '@peerage/core'
import type { App } from '@peerage/protocol'
import { pause } from '../../lib/pause.js'

/**
 * The time is long enough for a node to come back after most failovers. With the wait of a refused peer, it is shorter than
 * `limits.handshakeMs`, after which the node closes the connection itself.
 */
const TRIES = 5
const PAUSE_MS = 1_000

/**
 * Lets a connection in without a name. While the node is cut off from the store, the connection waits up to five seconds,
 * because clients of WebTorrent stay away for minutes after a close.
 */
export async function admitPatiently(
  { node, clock }: { node: Pick<Node, 'admit'>; clock: Clock },
  connection: Connection,
  app: App,
  holder: Holder | undefined,
): Promise<Admission> {
  let admission = node.admit(connection, app, holder)
  for (let tries = 0; isCutOff(admission) && tries < TRIES; tries++) {
    await pause(clock, PAUSE_MS)
    if (!connection.isOpen) break
    admission = node.admit(connection, app, holder)
  }
  return admission
}

function isCutOff(admission: Admission): boolean {
  return !admission.ok && admission.code === 'registry-unavailable'
}
