import type { Envelope } from '@peerage/core'
import { newConnectionId, newPeer } from '@peerage/test-support/testing/core.js'

const peer = newPeer()
const connection = newConnectionId()

/** An envelope that carries a number. */
export function numbered(epoch: number): Envelope {
  return { type: 'superseded', peer, connection, epoch }
}
