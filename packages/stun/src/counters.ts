import type { Refusal } from './binding.js'

/** Why a datagram or a TCP message got no answer. */
export type Drop =
  | Refusal
  | 'no-source' // the source has port 0 or no IP address
  | 'rate' // the source's bucket is empty
  | 'backlog' // answers to earlier requests still wait to be sent

/** Counts since the server was made, except `connections`: how many are open now. */
export interface StunCounters {
  /** Well-formed Binding requests, answered or not. */
  requests: number
  /** Success answers. */
  answered: number
  /** 420 answers to unknown attributes. */
  refused: number
  /** Bytes of all datagrams and TCP reads. */
  bytesIn: number
  bytesOut: number
  readonly dropped: Record<Drop, number>
  connections: number
  /** TCP connections closed at once because there were too many, in all or from one source. */
  connectionsRefused: number
  /** Errors of sockets. */
  errors: number
}

export function newCounters(): StunCounters {
  return {
    requests: 0,
    answered: 0,
    refused: 0,
    bytesIn: 0,
    bytesOut: 0,
    dropped: {
      malformed: 0,
      'no-cookie': 0,
      oversized: 0,
      'not-binding-request': 0,
      'bad-fingerprint': 0,
      'no-source': 0,
      rate: 0,
      backlog: 0,
    },
    connections: 0,
    connectionsRefused: 0,
    errors: 0,
  }
}
