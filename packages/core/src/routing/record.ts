import type { Message, Wire } from './message.js'

// How envelopes are encoded between nodes. Records can be laid end to end in one publish:
//
//   type  header length  ':'  frame length  ':'  header  frame
//
// Lengths are decimal, in UTF-16 units. The header is positional. Its fields are divided by US (0x1f), which no name
// and no id can contain; free texts are escaped. The frame follows unchanged: no node parses, copies or escapes
// it. A later version may add fields at the end of a header, and types. A decoder skips both [F25].

export const DIVIDER = '\x1f'
export const ESCAPE = '\x1b'

export const TYPE_CODES = {
  deliver: 'd',
  gone: 'g',
  notice: 'n',
  superseded: 's',
  evicted: 'e',
  disconnect: 'x',
  hand: 'h',
  moved: 'v',
} as const
export const WIRE_CODES: Record<Wire, string> = {
  native: 'n',
  peerjs: 'p',
  'y-webrtc': 'y',
  webtorrent: 'w',
  trystero: 't',
  matchbox: 'm',
}
export const KIND_CODES: Record<Message['kind'], string> = { message: 'm', signal: 's', ack: 'a' }

// Hardly any text contains either character. Testing for them first makes encoding a fifth faster, and decoding a
// notice, too.
export function escape(text: string): string {
  if (!text.includes(DIVIDER) && !text.includes(ESCAPE)) return text
  return text.replaceAll(ESCAPE, `${ESCAPE}e`).replaceAll(DIVIDER, `${ESCAPE}d`)
}

export function unescape(text: string): string {
  if (!text.includes(ESCAPE)) return text
  return text.replaceAll(`${ESCAPE}d`, DIVIDER).replaceAll(`${ESCAPE}e`, ESCAPE)
}
