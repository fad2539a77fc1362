import type { Refusal } from './binding.js'

/** Why something that came in got no answer. */
export type Drop =
  | Refusal
  | 'no-source' // the source address or port cannot be answered
  | 'rate' // the source's bucket is empty
  | 'backlog' // answers to earlier requests still wait to be sent

/** Plain numbers since the server was made; `connections` is how many are open now. */
export interface StunCounters {
  /** Well-formed Binding requests, answered or not. */
  requests: number
  /** Success answers. */
  answered: number
  /** 420 answers to unknown attributes. */
  refused: number
  /** Bytes of whole datagrams and TCP reads. */
  bytesIn: number
  bytesOut: number
  readonly dropped: Record<Drop, number>
  connections: number
  /** TCP connections that were closed at once: too many, or too many from one source. */
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
