import type { Origin } from './bus.js'
import type { Envelope, Message, Whom } from './message.js'
import { DIVIDER, KIND_CODES, TYPE_CODES, WIRE_CODES, escape } from './record.js'

/** Encodes one envelope as one record. An origin becomes the last two fields of its header. */
export function encodeEnvelope(envelope: Envelope, origin?: Origin): string {
  const tail = origin === undefined ? '' : `${DIVIDER}${origin.node}${DIVIDER}${origin.number}`
  switch (envelope.type) {
    case 'deliver':
    case 'gone': {
      const { epoch, hops, message } = envelope
      const header = `${epoch}${DIVIDER}${hops}${DIVIDER}${messageHeader(message)}${tail}`
      return record(TYPE_CODES[envelope.type], header, message.frame)
    }
    case 'notice': {
      const { connection, to, code, ref } = envelope
      const header = `${connection}${DIVIDER}${to}${DIVIDER}${code}${DIVIDER}${escape(ref)}${tail}`
      return record(TYPE_CODES.notice, header, '')
    }
    case 'superseded':
    case 'evicted': {
      const { peer, connection, epoch } = envelope
      return record(TYPE_CODES[envelope.type], `${peer}${DIVIDER}${connection}${DIVIDER}${epoch}${tail}`, '')
    }
    case 'disconnect': {
      const { app, whom, before, code, text } = envelope
      const fields = [app, ...whomFields(whom), before ?? '', code, escape(text)]
      return record(TYPE_CODES.disconnect, `${fields.join(DIVIDER)}${tail}`, '')
    }
    case 'hand': {
      const { connection, pool, member, frame } = envelope
      return record(TYPE_CODES.hand, `${connection}${DIVIDER}${pool}${DIVIDER}${member}${tail}`, frame)
    }
    case 'moved': {
      const { connection, pool, member, since } = envelope
      const fields = [connection, pool, member, since]
      return record(TYPE_CODES.moved, `${fields.join(DIVIDER)}${tail}`, '')
    }
  }
}

/** Encodes one message as a record of its own, for the mailbox. */
export function encodeMessage(message: Message): string {
  return record('m', messageHeader(message), message.frame)
}

function record(type: string, header: string, frame: string): string {
  return `${type}${header.length}:${frame.length}:${header}${frame}`
}

function whomFields(whom: Whom): [kind: 'n' | 'i' | 't', text: string] {
  if ('name' in whom) return ['n', whom.name]
  if ('identity' in whom) return ['i', escape(whom.identity)]
  return ['t', escape(whom.tokenId)]
}

function messageHeader(message: Message): string {
  const { from, to, wire, kind, fresh, hold, since, handshake, reply } = message
  const flags = `${fresh ? 'f' : ''}${hold ? 'h' : ''}`
  const path = `${from}${DIVIDER}${to}${DIVIDER}${WIRE_CODES[wire]}${DIVIDER}${KIND_CODES[kind]}${DIVIDER}${flags}`
  // The equals sign tells an empty text from an absent one.
  const handshakeField = handshake === undefined ? '' : `=${escape(handshake)}`
  const replyFields =
    reply === undefined
      ? `${DIVIDER}${DIVIDER}`
      : `${reply.node}${DIVIDER}${reply.connection}${DIVIDER}${escape(reply.ref)}`
  return `${path}${DIVIDER}${since ?? ''}${DIVIDER}${handshakeField}${DIVIDER}${replyFields}`
}
