import { randomBytes } from 'node:crypto'
import { PROTOCOL_VERSION, limits } from '@peerage/protocol'
import { asList, asNumber, asRecord, asText, type Wire, type WireContext } from './wire.js'

/** The SDK's rule: it sends the first acknowledgement at once, then at most one frame of them per interval. */
const ACK_INTERVAL_MS = 20
const STREAM_BYTES = 8

interface Outgoing {
  since: number
  stream: string
  /** The sequence number of the next message. */
  seq: number
  /** All sequence numbers below it are acknowledged. */
  base: number
}

interface Unacknowledged {
  to: string
  stream: string
  next: number
}

/** The native wire of packages/protocol, used as the SDK uses it: claim, lookup, numbered sends, batched acknowledgements. */
export function peerageWire(context: WireContext): Wire {
  const { events } = context
  const outgoing = new Map<string, Outgoing>()
  const toAcknowledge = new Map<string, Unacknowledged>()
  const answers = new Map<number, () => void>()
  let lastAckMs = 0
  let ackTimer: NodeJS.Timeout | undefined
  let lastId = 0

  const emit = (type: string, fields: object): void => {
    context.send(`42["${type}",${JSON.stringify(fields)}]`)
  }
  const acknowledge = (): void => {
    ackTimer = undefined
    lastAckMs = performance.now()
    const acks = [...toAcknowledge.values()]
    toAcknowledge.clear()
    for (let start = 0; start < acks.length; start += limits.acksPerFrame)
      emit('ack', { acks: acks.slice(start, start + limits.acksPerFrame) })
  }
  const received = (fields: Record<string, unknown>): void => {
    const from = asText(fields['from'])
    const stream = asText(fields['stream'])
    toAcknowledge.set(stream, { to: from, stream, next: asNumber(fields['seq']) + 1 })
    // An answer from the application's handler is sent before the acknowledgement.
    events.body(from, asText(fields['body']))
    const waitMs = lastAckMs + ACK_INTERVAL_MS - performance.now()
    if (waitMs <= 0 && ackTimer === undefined) acknowledge()
    else ackTimer ??= setTimeout(acknowledge, waitMs)
  }
  const acked = (fields: Record<string, unknown>): void => {
    const out = outgoing.get(asText(fields['from']))
    const next = asNumber(fields['next'])
    if (out === undefined || !(next > out.base)) return
    events.acknowledged(next - out.base)
    out.base = next
  }
  const found = (fields: Record<string, unknown>): void => {
    for (const peer of asList(fields['peers']).map(asRecord)) {
      const name = asText(peer['name'])
      const since = peer['since']
      if (typeof since !== 'number') events.problem(`${name} was not found`)
      else if (outgoing.get(name)?.since !== since)
        outgoing.set(name, { since, stream: streamId(), seq: 1, base: 1 })
    }
    answered(fields)
  }
  const answered = (fields: Record<string, unknown>): void => {
    const id = asNumber(fields['id'])
    answers.get(id)?.()
    answers.delete(id)
  }
  const event = (text: string): void => {
    const [type, payload] = asList(JSON.parse(text.slice(2)))
    const fields = asRecord(payload)
    if (type === 'said') events.body(asText(fields['from']), asText(fields['body']))
    else if (type === 'roomed') answered(fields)
    else if (type === 'message') received(fields)
    else if (type === 'acked') acked(fields)
    else if (type === 'found') found(fields)
    else if (type === 'welcome') events.ready()
    else if (type === 'changed' || type === 'done') return
    else events.problem(text)
  }

  return {
    path: '/peerage/?EIO=4&transport=websocket',
    opened: () => {},
    frame: (text) => {
      if (text.startsWith('42')) event(text)
      else if (text === '2') context.send('3')
      else if (text.startsWith('0')) {
        const { name, secret, token } = context
        context.send(`40${JSON.stringify({ v: PROTOCOL_VERSION, name, secret, token })}`)
      } else if (!text.startsWith('40')) events.problem(text)
    },
    prepare: async (recipients) => {
      for (let start = 0; start < recipients.length; start += limits.namesPerLookup) {
        const id = ++lastId
        const answer = new Promise<void>((resolve) => answers.set(id, resolve))
        emit('lookup', { id, names: recipients.slice(start, start + limits.namesPerLookup) })
        await answer
      }
    },
    message: (to, body) => {
      const out = outgoing.get(to)
      if (out === undefined) {
        events.problem(`${to} was not looked up before the message`)
        return
      }
      const { since, stream, base } = out
      emit('send', { to, since, stream, seq: out.seq++, base, kind: 'message', body })
    },
    join: (room) => {
      const id = ++lastId
      const joined = new Promise<void>((resolve) => answers.set(id, resolve))
      emit('join', { id, room })
      return joined
    },
    say: (room, body) => emit('say', { id: ++lastId, room, body }),
    stop: () => clearTimeout(ackTimer),
  }
}

const streamId = (): string => randomBytes(STREAM_BYTES).toString('base64url')
